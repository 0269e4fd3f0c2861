"""``reader.order=dlio``: what dlio-benchmark 2.0.0 handed over is what we read, in its order.

``dlio_orders.json`` has what ``tests/dlio/recording.py`` recorded; tests/dlio records it anew.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_jobs import folder_of, run

from cm4storage.core.errors import UserError
from cm4storage.loader.dlio_order import dlio_order
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.sampled_order import PADDING
from cm4storage.workload.distributions import Distribution
from cm4storage.workload.model import Workload
from cm4storage.workload.plan import Plan, Split

CASES = json.loads((Path(__file__).parent / "dlio_orders.json").read_text(encoding="utf-8"))
TENSORFLOW = {"framework": "tensorflow", "reader.order": "dlio"}
SPLITS = {"train": Split.TRAIN, "valid": Split.EVAL}


def workload_of(settings, **more):
    """Return the workload of a recorded case."""
    times = {path: Distribution.parse(v) for path, v in settings.items() if path.endswith("_time")}
    return Workload.from_settings({**settings, **times, **more})


def places_of(workload, split):
    if split is Split.TRAIN:
        return workload.steps_per_epoch() * workload.reader.batch_size
    return workload.eval_steps() * workload.reader.batch_size_eval


def with_copies(ids):
    """Return an order with what DLIO pads a batch with: the sample before."""
    found: list[int] = []
    for number in ids:
        found.append(found[-1] if number == PADDING else number)
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_order_is_the_one_that_dlio_was_seen_to_have(name):
    case = CASES[name]
    workload = workload_of(case["settings"])
    for split, epochs in case["recorded"].items():
        orders = dlio_order(workload, SPLITS[split])
        wanted = places_of(workload, SPLITS[split])
        for epoch in (*epochs, *reversed(epochs)):
            ids = islice(orders.ids(int(epoch)), wanted)
            assert with_copies(ids) == epochs[epoch], (split, epoch)


@pytest.mark.parametrize("name", ["npz_rising", "npz_seed", "npz_padded", "tfrecord_seed"])
def test_a_run_reads_in_that_order(name, root):
    case = CASES[name]
    more = {"model.name": "tiny", "reader.order": "dlio", "workflow.evaluation": False}
    workload = workload_of(case["settings"], **more)
    folder_of(workload, root)
    handed_over = []

    class Keeper:
        def __init__(self, _workload):
            pass

        def __call__(self, batch, _duration_s):
            handed_over.append(batch.copy())

    outcome = run(workload, root, plugins=Plugins(compute_step=Keeper))
    wanted, per_epoch = places_of(workload, Split.TRAIN), workload.steps_per_epoch()
    for epoch, expected in case["recorded"]["train"].items():
        ids = list(outcome.order(int(epoch)).ids(wanted))
        assert with_copies(ids) == expected
        steps = handed_over[(int(epoch) - 1) * per_epoch : int(epoch) * per_epoch]
        assert_pictures(ids, [picture for batch in steps for picture in batch])


def assert_pictures(ids, pictures):
    """Check that a sample looks alike wherever it was read, and that no two do."""
    seen: dict[int, bytes] = {}
    for number, picture in zip(ids, pictures, strict=True):
        assert seen.setdefault(number, picture.tobytes()) == picture.tobytes()
        assert picture.any() == (number != PADDING)
    assert len(set(seen.values())) == len(seen)


def settings(file_format):
    return st.fixed_dictionaries(
        {
            "dataset.format": st.just(file_format),
            "dataset.num_files_train": st.integers(8, 40),
            "dataset.num_files_eval": st.integers(8, 20),
            "dataset.num_samples_per_file": st.integers(1, 6),
            "dataset.num_subfolders_train": st.integers(0, 3),
            "reader.batch_size": st.integers(1, 9),
            "reader.read_threads": st.integers(1, 8),
            "reader.shuffle_size": st.integers(1, 50),
            "reader.prefetch_size": st.just(0),
            "reader.file_shuffle": st.sampled_from(["off", "seed", "random"]),
            "reader.sample_shuffle": st.sampled_from(["off", "seed"]),
            "train.seed": st.integers(0, 2**32 - 9),
            "train.seed_change_epoch": st.booleans(),
        }
    )


@given(settings=settings("tfrecord"), split=st.sampled_from(Split), epoch=st.integers(1, 4))
def test_tfrecord_files_are_read_once_in_each_epoch(settings, split, epoch):
    workload = Workload.from_settings(TENSORFLOW | settings)
    total = Plan.of(workload).count(split) * workload.dataset.num_samples_per_file
    assert sorted(dlio_order(workload, split).ids(epoch)) == list(range(total))


@given(settings=settings("hdf5"), split=st.sampled_from(Split), epoch=st.integers(1, 4))
def test_other_files_are_read_as_often_as_they_have_samples(settings, split, epoch):
    workload = Workload.from_settings(TENSORFLOW | settings)
    per_file = workload.dataset.num_samples_per_file
    files = Plan.of(workload).count(split)
    ids = [number for number in dlio_order(workload, split).ids(epoch) if number != PADDING]
    assert sorted(number // per_file for number in ids) == sorted([*range(files)] * per_file)
    if workload.reader.sample_shuffle == "off" or per_file == 1:
        assert sorted(ids) == list(range(files * per_file))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"reader.data_loader": "dali"}, "order of reader.data_loader=dali"),
        (
            {"dataset.format": "npz", "reader.read_threads": 9},
            "cannot divide 8 samples among 9 threads",
        ),
        (
            {"dataset.format": "npz", "reader.file_shuffle": "seed", "train.seed": 2**32 - 1},
            "takes no seed of 4294967296",
        ),
        ({"dataset.format": "tfrecord", "reader.read_threads": 0}, "with 0 threads"),
        (
            {"dataset.format": "tfrecord", "reader.sample_shuffle": "random"},
            "differs on each run",
        ),
        (
            {"dataset.format": "tfrecord", "reader.sample_shuffle": "seed", "train.epochs": 2},
            "differs on each run here",
        ),
        (
            {
                "dataset.format": "tfrecord",
                "reader.sample_shuffle": "seed",
                "reader.shuffle_size": 0,
            },
            "buffer of 0 samples",
        ),
    ],
)
def test_an_order_that_dlio_has_not_is_refused(what, message):
    workload = Workload.from_settings({**TENSORFLOW, "dataset.num_files_train": 8, **what})
    with pytest.raises(UserError, match=message):
        dlio_order(workload, Split.TRAIN)
