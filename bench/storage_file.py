"""FileStore against a bare ``os.preadv`` loop on the same files, side by side.

Usage: ``python bench/storage_file.py [FOLDER]``. The files are in the page cache: what is compared
is the cost of our calls, not the disk. Each round runs all candidates in turn, so that other load
on the machine hits all of them; the ratio of each round is what counts.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = [("4 KiB", 4096, 2000), ("128 KiB", 128 * 1024, 1000), ("16 MiB", 16 * 2**20, 24)]
ROUNDS = 15


def bare(paths: list[str], size_bytes: int) -> None:
    """Do the least that reads a file of unknown size into memory that is there already."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        total = os.fstat(descriptor).st_size
        os.preadv(descriptor, [BUFFER[:total]], 0)
        os.close(descriptor)
    assert total == size_bytes


BUFFER = memoryview(bytearray(16 * 2**20))
BUFFER[:] = bytes(len(BUFFER))


def lend(store: FileStore, keys: list[str]) -> None:
    """Read through `FileStore.read`."""
    for key in keys:
        with store.read(key):
            pass


def fill(store: FileStore, keys: list[str]) -> None:
    """Read through `FileStore.read_into`."""
    for key in keys:
        store.read_into(key, BUFFER)


def seconds(work: Callable[[], None]) -> float:
    """Return how long `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(values: list[float]) -> str:
    """Return the median and quartiles as text."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:5.2f} [{low:.2f}-{high:.2f}]"


def main() -> None:
    """Measure all cases."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print(f"throughput relative to a bare preadv loop: median [quartiles] of {ROUNDS} rounds")
    for name, size_bytes, count in CASES:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            run_case(name, size_bytes, count, Path(root))


def run_case(name: str, size_bytes: int, count: int, root: Path) -> None:
    """Measure files of one size."""
    store = FileStore(root)
    keys = [f"{number:05}" for number in range(min(count, 64))]
    for key in keys:
        store.write(key, [memoryview(os.urandom(size_bytes))])
    keys = (keys * (count // len(keys) + 1))[:count]
    paths = [f"{root}/{key}" for key in keys]
    lend_ratios, fill_ratios, rates = [], [], []
    for turn in range(ROUNDS + 1):
        base = seconds(lambda: bare(paths, size_bytes))
        lent = seconds(lambda: lend(store, keys))
        filled = seconds(lambda: fill(store, keys))
        if turn:  # the first warms up
            lend_ratios.append(base / lent)
            fill_ratios.append(base / filled)
            rates.append(count * size_bytes / base / 1e6)
    rate = f"{statistics.median(rates):8.0f} MB/s bare"
    print(f"{name:>8}: read {spread(lend_ratios)}   read_into {spread(fill_ratios)}   {rate}")


if __name__ == "__main__":
    main()
