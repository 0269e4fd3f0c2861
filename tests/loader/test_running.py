"""The loader hands over what is on storage, in the order that was planned, and records it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.data_files import DataFiles
from cm4storage.loader.limits import Limits
from cm4storage.loader.order import RunOrder
from cm4storage.loader.pipeline import EpochReaders, Reading
from cm4storage.loader.preprocessing import Preprocessing
from cm4storage.loader.running import Trainer
from cm4storage.loader.slots import make_slots
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.workload.plan import Plan, Split
from cm4storage.workload.resolve import Request, resolve


def prepared(workload, root):
    return prepare(workload, root, NoProgress(), lambda _line: None)


def run(workload, root, limits=None):
    prepared(workload, root)
    with open_dataset(workload, root) as dataset:
        trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
        return trainer.run(limits or Limits())


def batches_of_epoch(workload, root, epoch=1):
    """Return copies of all batches that the loader hands over."""
    prepared(workload, root)
    order, slots = RunOrder(workload, 1).epoch(epoch), make_slots(workload)
    steps, batches = workload.steps_per_epoch(), []
    files = DataFiles(workload, Split.TRAIN)
    with open_dataset(workload, root) as dataset:
        reading = Reading(workload, files, dataset.store, Preprocessing(workload))
        with EpochReaders(reading, slots, order, steps):
            for step in range(steps):
                batches.append(slots.take(step).copy())
                slots.release(step)
    return batches


def expected_rows(workload, root, epoch=1):
    """Return what the batches must hold, read by numpy in the planned order."""
    folder = prepared(workload, root).location.path
    per_file = workload.dataset.num_samples_per_file
    row_bytes = make_slots(workload).sample_bytes
    for number in RunOrder(workload, 1).epoch(epoch).ids(workload.total_samples):
        key = Plan.of(workload).key(Split.TRAIN, number // per_file)
        sample = np.load(folder / key)["x"][..., number % per_file].reshape(-1)[:row_bytes]
        yield np.pad(sample, (0, row_bytes - len(sample)))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("prefetch", [0, 1, 5])
@pytest.mark.parametrize(("per_file", "batch"), [(1, 2), (1, 3), (4, 3), (4, 8), (7, 2)])
def test_batches_hold_the_right_bytes(small_workload, root, threads, prefetch, per_file, batch):
    workload = small_workload(
        f"reader.read_threads={threads} reader.prefetch_size={prefetch} "
        f"dataset.num_samples_per_file={per_file} reader.batch_size={batch} "
        "reader.shuffle_size=3"
    )
    rows = [row.ravel() for step in batches_of_epoch(workload, root) for row in step]
    expected = list(expected_rows(workload, root))[: len(rows)]
    assert len(rows) == workload.steps_per_epoch() * batch
    assert all(np.array_equal(row, right) for row, right in zip(rows, expected, strict=True))


@given(
    files=st.integers(1, 12),
    per_file=st.integers(1, 9),
    batch=st.integers(1, 10),
    threads=st.integers(1, 4),
    prefetch=st.integers(0, 3),
    shuffle_size=st.integers(0, 12),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_combination_hangs_or_loses_a_sample(
    root, files, per_file, batch, threads, prefetch, shuffle_size
):
    batch = min(batch, files * per_file)
    workload = resolve(
        Request(
            params=f"dataset.num_files_train={files} dataset.num_samples_per_file={per_file} "
            f"reader.batch_size={batch} reader.read_threads={threads} "
            f"reader.prefetch_size={prefetch} reader.shuffle_size={shuffle_size} "
            "dataset.format=tfrecord dataset.record_length_bytes=64 "
            "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0"
        )
    ).workload
    rows = [bytes(row) for step in batches_of_epoch(workload, root) for row in step]
    assert len(set(rows)) == len(rows) == workload.steps_per_epoch() * batch


def test_resize_cuts_what_is_handed_over(small_workload, root):
    workload = small_workload("dataset.record_length_bytes_resize=1000")
    assert make_slots(workload).sample_bytes == 31 * 31
    first = batches_of_epoch(workload, root)[0][0].ravel()
    assert np.array_equal(first, next(expected_rows(workload, root)))


def test_records_are_complete(small_workload, root):
    workload = small_workload("train.computation_time=0.002")
    outcome = run(workload, root)
    total_bytes = prepared(workload, root).manifest.total_bytes
    assert [epoch.number for epoch in outcome.epochs] == [1, 2]
    for epoch in outcome.epochs:
        assert len(epoch.wait_s) == len(epoch.compute_s) == 5
        assert min(epoch.compute_s) >= 0.002
        assert epoch.bytes_read == total_bytes
        assert epoch.samples == 10
        assert epoch.duration_s >= sum(epoch.wait_s) + sum(epoch.compute_s)
        assert epoch.barrier_s is None
    assert outcome.counters.io.count == outcome.counters.decode.count == 20
    assert outcome.first_sample_ids == list(RunOrder(workload).epoch(1).ids(10))


def test_limits_end_a_run_early(small_workload, root):
    outcome = run(small_workload(), root, Limits(max_epochs=1, max_steps=3))
    assert [len(epoch.wait_s) for epoch in outcome.epochs] == [3]
    assert outcome.epochs[0].samples == 6


def test_total_training_steps_limits_an_epoch(small_workload, root):
    outcome = run(small_workload("train.total_training_steps=2"), root)
    assert [len(epoch.wait_s) for epoch in outcome.epochs] == [2, 2]


def test_computation_is_drawn_anew_but_the_same_for_the_same_seed(small_workload, root):
    params = "train.computation_time='{type: uniform, min: 0.001, max: 0.02}' train.epochs=1"
    workload = small_workload(params)
    generator = np.random.default_rng(workload.train.seed + 1)
    drawn = [workload.computation_time.draw(generator) for _ in range(5)]
    for _ in range(2):
        computed = run(workload, root).epochs[0].compute_s
        assert all(c >= d for c, d in zip(computed, drawn, strict=True))
    assert len(set(drawn)) == 5


FOREIGN = {
    "fewer samples": np.zeros((5, 5, 1), np.uint8),
    "more samples": np.arange(5 * 5 * 16, dtype=np.uint8).reshape(5, 5, 16),
    "shorter samples": np.zeros((0, 0, 2), np.uint8),
    "longer samples": np.zeros((500, 500, 2), np.uint8),
}


@pytest.mark.parametrize("how", ["missing", "flipped", *FOREIGN])
@pytest.mark.parametrize("shuffle", ["off", "seed"])
@pytest.mark.parametrize("steps", [None, 1])
def test_a_bad_file_stops_the_run_with_its_name_and_no_thread_stays(
    small_workload, root, how, shuffle, steps
):
    """Never a wrong sample and never a hang, also where the run ends in the bad file."""
    workload = small_workload(
        f"dataset.num_samples_per_file=2 reader.sample_shuffle={shuffle} reader.file_shuffle=off"
    )
    folder = prepared(workload, root).location.path
    victim = sorted(folder.rglob("*.npz"))[0]
    with open_dataset(workload, root) as dataset:
        if how == "missing":
            victim.unlink()
        elif how == "flipped":
            data = bytearray(victim.read_bytes())
            data[500] ^= 1
            victim.write_bytes(data)
        else:
            np.savez(victim, x=FOREIGN[how], y=[0])
        trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
        with pytest.raises(StorageFault, match=victim.name):
            trainer.run(Limits(max_steps=steps))
    assert not [t.name for t in threading.enumerate() if t.name.startswith("reader-")]


def test_more_prefetched_batches_than_memory_are_refused(small_workload):
    with pytest.raises(UserError, match="the batches that are prefetched need"):
        make_slots(small_workload("reader.prefetch_size=1000000 reader.batch_size=10 "
                                  "dataset.record_length_bytes=1e9"))  # fmt: skip
