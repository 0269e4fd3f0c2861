"""Buffers are lent again and again, and never while somebody still looks at them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.formats import tfrecord
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.buffers import Buffer, BufferPool
from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cm4storage.storage.location import StoreLocation

MIB = 2**20


class TestBufferPool:
    def test_buffers_are_reused(self) -> None:
        pool = BufferPool()
        first = pool.acquire(100_000)
        pool.release(first)
        assert pool.free_bytes >= 100_000
        assert pool.acquire(90_000) is first
        assert pool.free_bytes == 0
        assert pool.mapped_count == 1

    def test_buffers_are_page_aligned_and_large_enough(self) -> None:
        pool = BufferPool()
        for length in (0, 1, 4096, 4097, 999_999, 5 * MIB):
            buffer = pool.acquire(length)
            assert length <= buffer.capacity_bytes <= max(4096, length * 1.13 + 4096)
            assert buffer.view(length).nbytes == length

    def test_a_small_read_does_not_take_a_large_buffer(self) -> None:
        pool = BufferPool()
        pool.release(pool.acquire(64 * MIB))
        assert pool.acquire(2 * MIB).capacity_bytes < 3 * MIB

    def test_idle_memory_is_limited_and_the_oldest_goes(self) -> None:
        pool = BufferPool(max_free_bytes=3 * MIB)
        buffers = [pool.acquire(MIB) for _ in range(5)]
        for buffer in buffers:
            pool.release(buffer)
        assert pool.free_bytes <= 3 * MIB
        assert pool.acquire(MIB) in buffers[2:]

    def test_a_buffer_that_is_still_seen_is_not_lent_until_nobody_sees_it(self) -> None:
        pool = BufferPool()
        buffer = pool.acquire(1000)
        kept = buffer.view(1000)[10:20]
        pool.release(buffer)
        assert pool.free_bytes == 0
        assert pool.acquire(1000) is not buffer
        assert kept.nbytes == 10
        kept.release()
        assert pool.acquire(1000) is buffer

    @pytest.mark.parametrize("kind", ["array", "slice of an array", "view of a view", "cast"])
    def test_whatever_looks_at_a_buffer_keeps_it(self, kind: str) -> None:
        pool = BufferPool()
        buffer = pool.acquire(4096)
        kept: Any = buffer.view(4096)
        if kind == "array":
            kept = np.frombuffer(kept, np.uint8)
        elif kind == "slice of an array":
            kept = np.frombuffer(kept, np.uint8)[10:20].reshape(2, 5)
        elif kind == "view of a view":
            kept = memoryview(kept[5:])[7:]
        else:
            kept = kept.cast("d")
        pool.release(buffer)
        assert pool.acquire(4096) is not buffer
        del kept
        assert pool.acquire(4096) is buffer

    def test_views_that_stay_neither_hold_up_others_nor_grow_the_pool(self) -> None:
        pool = BufferPool()
        kept = []
        for _ in range(600):
            buffer = pool.acquire(4096)
            kept.append(buffer.view(10))
            pool.release(buffer)
        assert pool.mapped_count == 600
        again = [pool.acquire(4096) for _ in range(2)]
        for buffer in again:
            pool.release(buffer)
        assert pool.mapped_count == 602
        for _ in range(50):
            pool.release(pool.acquire(4096))
        assert pool.mapped_count == 602

    def test_waiting_memory_counts_for_the_limit(self) -> None:
        pool = BufferPool(max_free_bytes=3 * MIB)
        buffers = [pool.acquire(MIB) for _ in range(6)]
        views = [buffer.view(10) for buffer in buffers]
        for buffer in buffers:
            pool.release(buffer)
        views.clear()
        assert 2 * MIB <= pool.free_bytes <= 3 * MIB

    def test_clear_gives_the_memory_back(self) -> None:
        pool = BufferPool()
        pool.release(pool.acquire(MIB))
        kept = pool.acquire(MIB)
        view = kept.view(10)
        pool.release(kept)
        pool.clear()
        view.release()
        assert pool.free_bytes == 0

    def test_many_threads_never_get_one_buffer_at_the_same_time(self) -> None:
        pool = BufferPool()
        in_use: set[int] = set()
        lock, faults = threading.Lock(), []

        def work(number: int) -> None:
            last = None
            for turn in range(300):
                buffer = pool.acquire(4096 + turn % 3)
                with lock:
                    if id(buffer) in in_use:
                        faults.append("lent twice")
                    in_use.add(id(buffer))
                view = buffer.view(4096)
                view[:1] = bytes([number])
                if last is not None and last[0] != number:
                    faults.append("a kept view was overwritten")
                with lock:
                    in_use.remove(id(buffer))
                last = view
                pool.release(buffer)

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert pool.mapped_count <= 3 * 8


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(
    "params",
    [
        "",
        "dataset.num_samples_per_file=5 reader.sample_shuffle=off",
        "dataset.format=tfrecord dataset.num_samples_per_file=40",
        "dataset.format=tfrecord dataset.num_samples_per_file=40 train.total_training_steps=30",
    ],
)
def test_a_run_maps_about_as_many_buffers_as_it_has_threads(
    small_workload: Callable[..., Any],
    root: StoreLocation,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    params: str,
) -> None:
    monkeypatch.setattr(tfrecord, "CHUNK_BYTES", 16_000)
    workload = small_workload(
        f"dataset.num_files_train=40 dataset.record_length_bytes_stdev=0 "
        f"reader.read_threads={threads} {params}"
    )
    folder = prepare(workload, root, NoProgress(), lambda _line: None).location.path
    pool = BufferPool()
    store = FileStore(folder, pool=pool)
    Trainer(workload, store, SingleProcess(), NoProgress()).run(Limits())
    # A file's last range and its first are of two sizes; so are the ranges of a known layout.
    assert pool.mapped_count <= 3 * threads


def test_a_reader_that_keeps_an_array_keeps_its_bytes(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for number in range(20):
        store.write(f"{number}", [memoryview(bytes([number]) * 50_000)])
    kept = []
    for number in range(20):
        with store.read(f"{number}") as view:
            kept.append(np.frombuffer(view, np.uint8)[100:200])
    assert [set(array.tolist()) for array in kept] == [{number} for number in range(20)]


def test_a_buffer_knows_whether_it_is_seen() -> None:
    buffer = Buffer(4096)
    assert not buffer.is_shared()
    view = buffer.view(1)
    assert buffer.is_shared()
    view.release()
    del view
    assert not buffer.is_shared()
