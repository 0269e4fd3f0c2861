"""As many reads are under way at once as there are reader threads."""

from __future__ import annotations

import threading

import pytest

import cm4storage
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.wrapper import StoreWrapper

THREADS = 8


class Together(StoreWrapper):
    """Answers no read before so many are waiting; a barrier that breaks ends the run."""

    def __init__(self, store, first_reads):
        super().__init__(store)
        self.barrier, self.left = threading.Barrier(THREADS, timeout=20), first_reads
        self.lock = threading.Lock()

    def scatter(self, key, buffers, *, start=0):
        with self.lock:
            self.left -= 1
            waits = self.left >= 0
        if waits:
            self.barrier.wait()
        return super().scatter(key, buffers, start=start)


@pytest.mark.parametrize("record_bytes", [4096, 2**20])
def test_all_reader_threads_read_at_once(tmp_path, record_bytes):
    overrides = {
        "dataset.num_files_train": 48, "dataset.record_length_bytes": record_bytes,
        "dataset.record_length_bytes_stdev": 0, "dataset.record_length_bytes_resize": 0,
        "reader.batch_size": 16, "reader.prefetch_size": 2, "reader.read_threads": THREADS,
        "train.computation_time": 0, "train.epochs": 1,
    }  # fmt: skip
    workload = cm4storage.load_workload("unet3d_h100", overrides).workload
    root = StoreLocation.parse(str(tmp_path))
    prepare(workload, root, NoProgress(), lambda _line: None)
    with open_dataset(workload, root) as dataset:
        store = Together(dataset.store, first_reads=THREADS)
        outcome = Trainer(workload, store, SingleProcess(), NoProgress()).run(Limits())
    assert outcome.counters.samples == 48
    assert not store.barrier.broken
