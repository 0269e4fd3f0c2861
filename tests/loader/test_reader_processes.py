"""Readers that are processes hand over what threads do, and end with their run."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import hashlib
import os
import resource
import signal
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_jobs import folder_of, run

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.order import FileRead, RunOrder, Share
from cm4storage.loader.orders import Orders
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.running import Trainer
from cm4storage.loader.sampled_order import PaddedOrder
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.ranks.processes import ProcessDied
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation

PROCESSES = Conduct(readers="processes")
COMMON = (
    "dataset.num_files_train=7 reader.batch_size=3 train.epochs=2 reader.read_threads=3 "
    "reader.prefetch_size=1 reader.file_shuffle=seed reader.sample_shuffle=seed "
    "reader.shuffle_size=4"
)
CASES = {
    "npz": "",
    "npy": "dataset.num_samples_per_file=4",
    "hdf5": "dataset.num_samples_per_file=4 reader.odirect=True",
    "tfrecord": "dataset.num_samples_per_file=20",  # more than all slots hold
    "csv": "dataset.num_samples_per_file=3 reader.transfer_size=1000",
    "jpeg": "reader.read_threads=11",  # more than files
    "indexed_binary": "dataset.num_samples_per_file=4 reader.order=dlio framework=tensorflow "
    "reader.data_loader=tensorflow dataset.num_files_eval=4 workflow.evaluation=True",
    "parquet": "dataset.num_samples_per_file=5 reader.read_threads=1",
}


class Digests:
    """Keeps a digest of every batch."""

    def __init__(self, kept, _workload):
        self.kept = kept

    def __call__(self, batch, duration_s):
        del duration_s
        self.kept.append((hashlib.sha256(batch.tobytes()).hexdigest(), batch.shape))


def seen(workload, root, conduct, limits=None):
    """Run; return the digests of the batches, and the outcome."""
    kept = []
    plugins = Plugins(compute_step=functools.partial(Digests, kept))
    return kept, run(workload, root, conduct=conduct, plugins=plugins, limits=limits)


@pytest.mark.usefixtures("needs_direct_io")
@pytest.mark.parametrize("name", CASES)
def test_processes_hand_over_what_threads_do(small_workload, tmp_path, name):
    workload = small_workload(f"{COMMON} dataset.format={name} {CASES[name]}")
    root = StoreLocation.parse(str(tmp_path / "a folder, 100 %"))
    folder_of(workload, root)
    threads, of_threads = seen(workload, root, None)
    processes, of_processes = seen(workload, root, PROCESSES)
    assert threads
    assert processes == threads
    assert of_processes.order_digest == of_threads.order_digest
    assert of_processes.counters.bytes_read == of_threads.counters.bytes_read
    assert of_processes.counters.samples == of_threads.counters.samples
    assert of_processes.counters.io.count == of_threads.counters.io.count
    assert len(of_processes.evaluations) == len(of_threads.evaluations)
    assert of_processes.counters.cpu_s > 0
    assert of_processes.epochs[0].cpu_s > of_processes.counters.cpu_s / 2


def test_a_random_order_is_the_one_that_is_recorded(small_workload, root):
    params = "dataset.num_files_train=12 reader.batch_size=1 train.epochs=2 reader.read_threads=2"
    plain = small_workload(f"{params} reader.file_shuffle=off reader.sample_shuffle=off")
    folder_of(plain, root)
    one_by_one, _ = seen(plain, root, None)
    mixed = small_workload(f"{params} reader.file_shuffle=random reader.sample_shuffle=off")
    batches, outcome = seen(mixed, root, PROCESSES)
    ids = [number for epoch in (1, 2) for number in outcome.order(epoch).ids(12)]
    assert batches == [one_by_one[number] for number in ids]
    assert ids[:12] != ids[12:]


def test_fewer_steps_than_there_are(small_workload, root):
    workload = small_workload(f"{COMMON} dataset.num_files_train=30")
    folder_of(workload, root)
    limits = Limits(max_epochs=1, max_steps=2)
    batches, outcome = seen(workload, root, PROCESSES, limits)
    assert batches == seen(workload, root, None, limits)[0]
    assert outcome.counters.samples == 6


def damaged(workload, root):
    """Flip a bit in one file; return it and the next one."""
    first, second = sorted((folder_of(workload, root) / "train").iterdir())[2:4]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 16
    first.write_bytes(data)
    return first, second


def test_a_damaged_file_is_named_as_ever(small_workload, root):
    workload = small_workload("reader.read_threads=2 reader.file_shuffle=off")
    first, _ = damaged(workload, root)

    def fault_of(conduct):
        with pytest.raises(StorageFault, match="the checksum of member x") as caught:
            reading(workload, first.parents[1], conduct)
        assert first.name in caught.value.where
        return str(caught.value)

    assert fault_of(PROCESSES) == fault_of(None)


def reading(workload, folder, conduct, plugins=None):
    """Run over a folder that nobody checks before."""
    trainer = Trainer(workload, FileStore(folder), SingleProcess(), NoProgress(), conduct, plugins)
    return trainer.run(Limits())


def test_bad_files_are_skipped_and_counted(small_workload, root):
    workload = small_workload("reader.read_threads=2 reader.file_shuffle=off train.epochs=1")
    first, second = damaged(workload, root)
    second.unlink()
    found = [
        reading(workload, first.parents[1], Conduct(on_error="skip", readers=readers)).counters
        for readers in ("threads", "processes")
    ]
    assert [each.skipped_files for each in found] == [2, 2]
    assert sorted(found[0].faults) == sorted(found[1].faults)
    assert second.name in "".join(found[1].faults)


def children():
    """Return the processes that this one has started and that are still there."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


class Killer:
    """A compute step that kills a reader."""

    def __init__(self, before, _workload):
        self.before = before

    def __call__(self, batch, duration_s):
        del batch, duration_s
        for pid in sorted(children() - self.before)[:1]:
            os.kill(int(pid), signal.SIGKILL)


def test_the_death_of_a_reader_ends_the_run(small_workload, root):
    workload = small_workload("reader.read_threads=3 dataset.num_files_train=60 train.epochs=1")
    folder, before = folder_of(workload, root), children()
    plugins = Plugins(compute_step=functools.partial(Killer, before))
    died = r"reader process \d of 3 was killed by signal 9 \(SIGKILL\)"
    with pytest.raises(ProcessDied, match=died):
        reading(workload, folder, PROCESSES, plugins)
    assert children() == before


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


class Unhappy:
    """A compute step that cannot be made, or fails at its second step."""

    def __init__(self, when, _workload):
        self.left = when
        if not when:
            raise ValueError("unhappy")

    def __call__(self, batch, duration_s):
        del batch, duration_s
        self.left -= 1
        if not self.left:
            raise ValueError("unhappy")


@pytest.mark.parametrize("when", [0, 1, 2, 99])
def test_no_reader_and_no_file_is_left_after_a_run(small_workload, root, when):
    workload = small_workload("reader.read_threads=2 train.epochs=1")
    folder, before, files = folder_of(workload, root), children(), open_files()
    plugins = Plugins(compute_step=functools.partial(Unhappy, when))
    with pytest.raises(ValueError, match="unhappy") if when < 99 else contextlib.nullcontext():
        reading(workload, folder, PROCESSES, plugins)
    assert children() == before
    assert open_files() == files


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_start_that_fails_is_told_and_leaves_nothing(small_workload, root, monkeypatch, number):
    workload = small_workload("reader.read_threads=3 train.epochs=1")
    gc.collect()  # what an earlier test has left in a cycle is not counted
    folder, before, files = folder_of(workload, root), children(), open_files()
    start, started = subprocess.Popen, []

    def popen(*args, **options):
        if len(started) == 2:
            raise OSError(number, os.strerror(number))
        started.append(start(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    told = f"cannot start the reader processes: .*{os.strerror(number)}"
    with pytest.raises(UserError, match=told) as caught:
        reading(workload, folder, PROCESSES)
    assert "read_threads=3" in caught.value.where
    assert "ulimit" in caught.value.advice
    assert children() == before
    caught = None
    gc.collect()
    assert open_files() == files


def test_a_start_that_nothing_is_short_of_is_no_matter_of_limits(small_workload, root, monkeypatch):
    workload = small_workload("reader.read_threads=1 train.epochs=1")
    folder = folder_of(workload, root)
    monkeypatch.setattr(sys, "executable", str(root.path / "no such python"))
    with pytest.raises(FileNotFoundError, match="no such python"):
        reading(workload, folder, PROCESSES)


def test_the_shares_of_a_padded_order_fill_each_place_once():
    ids = [0, 5, -1, 3, 3, 1, 7, -1, 2, 6, 4, 0]
    order = PaddedOrder(ids, 4, 2, 3, "a list")
    for wanted in (11, 12):
        shares = [order.reads(wanted, Share(number, 3, 2)) for number in range(3)]
        places = [place for share in shares for read in share for place in read.places]
        assert sorted(place for place in places if place < wanted) == list(range(wanted))


def test_descriptors_may_be_many(small_workload, root):
    workload = small_workload("reader.read_threads=2 train.epochs=1")
    folder = folder_of(workload, root)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1300:
        pytest.skip(f"a process may have {hard} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1300, hard))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(1100):
                stack.enter_context(Path("/dev/null").open("rb"))
            assert reading(workload, folder, PROCESSES).counters.samples
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_files_past_the_page_cache(small_workload, tmp_path, needs_direct_io):
    del needs_direct_io
    workload = small_workload("reader.read_threads=2 train.epochs=1")
    root = StoreLocation.parse(f"directio://{tmp_path}/data")
    folder_of(workload, root)
    assert seen(workload, root, PROCESSES)[0] == seen(workload, root, None)[0]


class Watching:
    """A compute step that looks at the counts from within the run."""

    def __init__(self, trainers, found, _workload):
        self.trainers, self.found = trainers, found

    def __call__(self, batch, duration_s):
        del batch, duration_s
        self.found.append(self.trainers[0].counts())


def test_counts_can_be_looked_at_while_it_reads(small_workload, root):
    workload = small_workload("reader.read_threads=2 train.epochs=1 dataset.num_files_train=20")
    folder, trainers, found = folder_of(workload, root), [], []
    plugins = Plugins(compute_step=functools.partial(Watching, trainers, found))
    store = FileStore(folder)
    trainers.append(Trainer(workload, store, SingleProcess(), NoProgress(), PROCESSES, plugins))
    outcome = trainers[0].run(Limits())
    assert all(0 < each.bytes_read <= outcome.counters.bytes_read for each in found)
    assert all(0 < each.operations <= 20 for each in found)
    assert all(0 <= each.queue_depth <= 2 for each in found)
    assert found[-1].cpu_s > 0
    assert trainers[0].counts().bytes_read == outcome.counters.bytes_read


class Sampler:
    """A sampler of the user's own."""

    def __init__(self, _workload):
        pass

    def ids(self, _epoch):
        return range(20)


COMPUTING = (
    "framework=tensorflow dataset.format=tfrecord reader.preprocess_time=0.001 "
    "reader.computation_threads=1 reader.read_threads=2 reader.data_loader=tensorflow"
)


@pytest.mark.parametrize(
    ("params", "plugins", "why"),
    [
        ("", Plugins(sampler=Sampler), "a part that is your own"),
        ("", Plugins(loader=Sampler), "a part that is your own"),
        ("reader.read_type=memory", None, "in memory of its own"),
        (
            COMPUTING,
            None,
            "fewer calls than there are readers",
        ),
    ],
)
def test_what_only_threads_can_do_is_refused(small_workload, root, params, plugins, why):
    workload = small_workload(params)
    folder = folder_of(workload, root)
    with pytest.raises(UserError, match=f"readers cannot be processes here: .*{why}"):
        reading(workload, folder, PROCESSES, plugins)


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 7))
def test_each_read_is_the_share_of_one_reader(files, run, readers):
    reads = [FileRead(number, range(0), number, number) for number in range(files)]
    shares = [Share(number, readers, run) for number in range(readers)]
    picked = [list(share.pick(iter(reads))) for share in shares]
    assert sorted(read.file_index for share in picked for read in share) == list(range(files))
    runs = [[share[at : at + run] for at in range(0, len(share), run)] for share in picked]
    turns = [each for turn in zip_longest(*runs) for each in turn if each]
    assert [read for each in turns for read in each] == reads
    for share, own in zip(shares, picked, strict=True):
        numbers = [read.file_index for read in own]
        middle = files // 2
        parts = share.positions(0, middle).tolist() + share.positions(middle, files).tolist()
        assert parts == numbers


@pytest.mark.parametrize("shuffle", ["off", "seed"])
def test_the_shares_of_an_order_are_the_order(small_workload, shuffle):
    params = f"dataset.num_files_train=5000 reader.file_shuffle={shuffle} reader.sample_shuffle=off"
    order = Orders(RunOrder(small_workload(params))).of(1)
    whole = list(order.reads(4987))
    parts = [list(order.reads(4987, Share(number, 3, 16))) for number in range(3)]
    assert sorted(read for part in parts for read in part) == sorted(whole)
    assert all(part == list(Share(n, 3, 16).pick(iter(whole))) for n, part in enumerate(parts))


def test_batches_are_not_mixed_up_over_many_turns_of_the_ring(small_workload, root):
    params = (
        "dataset.num_files_train=400 dataset.record_length_bytes=4096 reader.batch_size=4 "
        "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=4096 "
        "reader.prefetch_size=1 reader.read_threads=4 train.epochs=1 train.computation_time=0 "
        "reader.file_shuffle=off reader.sample_shuffle=off"
    )
    workload = small_workload(params)
    folder = folder_of(workload, root)
    batches, _ = seen(workload, root, PROCESSES)
    files = sorted((folder / "train").iterdir())
    records = [np.load(file)["x"].tobytes() for file in files]
    wanted = [b"".join(records[start : start + 4]) for start in range(0, 400, 4)]
    digests = [hashlib.sha256(each).hexdigest() for each in wanted]
    assert [digest for digest, _ in batches] == digests
