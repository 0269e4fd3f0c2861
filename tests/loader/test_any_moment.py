"""Storage that fails at any moment: no hang, no thread left, and never another sample's bytes."""

from __future__ import annotations

import random
import threading

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_jobs import folder_of

from cm4storage.core.errors import StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.wrapper import StoreWrapper

SHAPES = (
    "",
    "dataset.record_length_bytes_resize=900",
    "dataset.record_length_bytes_resize=4000",
    "reader.transformed_record_dims=[5,7] reader.transformed_record_element_type=float32",
)
LAYERS = ("", "reader.read_type=memory", "reader.transfer_size=97", "reader.preprocess_time=0.0002")
ANY_FORMAT = ("npz", "npy", "hdf5", "tfrecord", "indexed_binary", "csv")


class Failing(StoreWrapper):
    """Fails some reads, and leaves rubbish in the memory that it should have filled."""

    def __init__(self, store, rate):
        super().__init__(store)
        self.rate, self.random = rate, random.Random(1)

    def read(self, key, *, start=0, length=None):
        self.may_fail(key)
        return super().read(key, start=start, length=length)

    def scatter(self, key, buffers, *, start=0):
        count = super().scatter(key, buffers, start=start)
        self.may_fail(key, buffers)
        return count

    def may_fail(self, key, buffers=()):
        if self.random.random() < self.rate:
            for buffer in buffers:
                np.frombuffer(buffer, np.uint8)[:] = 7
            raise StorageFault("no answer", where=key)


def rows_of(workload, root, rate=0.0, conduct=None):
    """Run, and return the outcome and the bytes of all rows."""
    rows = []

    class Keeper:
        def __init__(self, _workload):
            pass

        def __call__(self, batch, duration_s):
            del duration_s
            rows.extend(row.tobytes() for row in batch)

    with open_dataset(workload, root) as dataset:
        store = Failing(dataset.store, rate) if rate else dataset.store
        plugins = Plugins(compute_step=Keeper)
        trainer = Trainer(workload, store, SingleProcess(), NoProgress(), conduct, plugins)
        return trainer.run(Limits()), rows


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_rows_are_right_or_zeros_or_there_is_an_error(small_workload, root, data):
    files, per_file = data.draw(st.sampled_from([3, 5, 8])), data.draw(st.integers(1, 5))
    made = (
        f"dataset.format={data.draw(st.sampled_from(ANY_FORMAT))} dataset.num_files_train={files} "
        f"dataset.num_samples_per_file={per_file} dataset.record_length_bytes=1500 "
        f"dataset.record_length_bytes_stdev={data.draw(st.sampled_from([0, 300]))} "
        f"{data.draw(st.sampled_from(SHAPES))}"
    )
    shuffles = st.sampled_from(["off", "seed"])
    read = (
        f"reader.batch_size={data.draw(st.integers(1, min(7, files * per_file)))} "
        f"reader.file_shuffle={data.draw(shuffles)} reader.sample_shuffle={data.draw(shuffles)} "
        f"reader.shuffle_size={data.draw(st.sampled_from([0, 1, 2, 3, 100]))} "
        f"reader.read_threads={data.draw(st.integers(1, 5))} "
        f"reader.prefetch_size={data.draw(st.integers(0, 3))} {data.draw(st.sampled_from(LAYERS))}"
    )
    plain = "reader.batch_size=1 reader.file_shuffle=off reader.sample_shuffle=off train.epochs=1"
    workload = small_workload(f"{made} {read}")
    folder_of(workload, root)
    outcome, rows = rows_of(workload, root)
    _, samples = rows_of(small_workload(f"{made} {plain}"), root)
    wanted = workload.steps_per_epoch() * workload.reader.batch_size
    ids = [number for epoch in (1, 2) for number in outcome.order(epoch).ids(wanted)]
    assert rows == [samples[number] for number in ids]
    check_with_failures(workload, root, rows, data)


def check_with_failures(workload, root, rows, data):
    """Run on storage that fails; compare what is handed over with `rows`."""
    on_error = data.draw(st.sampled_from(["skip", "stop"]))
    rate = data.draw(st.sampled_from([0.02, 0.3]))
    failure = None
    try:
        outcome, got = rows_of(workload, root, rate, Conduct(on_error=on_error))
    except StorageFault as fault:
        failure = str(fault)
    if failure is not None:
        assert on_error == "stop" or "no file of the epoch" in failure
    else:
        others = [row for row, right in zip(got, rows, strict=True) if row != right]
        assert not any(any(row) for row in others)
        assert outcome.counters.skipped_files or not others
    assert not [each for each in threading.enumerate() if each.name.startswith("reader-")]
