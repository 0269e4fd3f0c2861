"""Generation against a bare loop that writes prepared buffers, in turn, in one process.

Run: ``python bench/generate.py [FOLDER]``. Prints MB/s of both and their ratio, with the spread
over the rounds. The bare loop makes, writes and closes the same number of files of the same size,
with as many threads, from one prepared buffer a thread; it computes nothing, and its files are
neither atomic nor listed. Both write into the page cache. Each round writes into a new folder,
which is removed outside the clock; which of the two comes first changes from round to round.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.progress import NoProgress
from cm4storage.core.units import KIB, MIB
from cm4storage.dataset.generation import generate
from cm4storage.dataset.outputs import DATASET_THREADS
from cm4storage.storage.file import FileStore
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload

ROUNDS = 15
BARE_PART_BYTES = 512 * KIB
"""What a bare loop did best with, of 64 KiB to 8 MiB: larger parts leave the cache of a core."""


@dataclass(frozen=True)
class Case:
    """One shape of a data set."""

    format: str
    files: int
    record_bytes: int

    @property
    def name(self) -> str:
        """The case as it is printed."""
        size = self.record_bytes
        shown = f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
        return f"{self.format} {self.files} x {shown}"

    def workload(self) -> Workload:
        """Return a workload with such a data set."""
        params = (
            f"dataset.format={self.format} dataset.num_files_train={self.files} "
            f"dataset.record_length_bytes={self.record_bytes} dataset.record_length_bytes_stdev=0"
        )
        return resolve(Request(params=params)).workload


CASES = [Case("npz", 64, 8 * MIB), Case("npz", 2048, 128 * KIB)]


class Prepared(threading.local):
    """The buffer of one thread."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(os.urandom(BARE_PART_BYTES)))


def bare_loop(folder: Path, files: int, size_bytes: int) -> None:
    """Write `files` files of `size_bytes` with the least that does it."""
    prepared = Prepared()
    folder.mkdir(parents=True)

    def write(number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(f"{folder}/{number}", flags)
        left = size_bytes
        while left:
            left -= os.write(descriptor, prepared.buffer[:left])
        os.close(descriptor)

    with ThreadPoolExecutor(DATASET_THREADS) as executor:
        for _ in executor.map(write, range(files)):
            pass


def measure(case: Case, root: Path) -> None:
    """Run both in turn and print the medians, and the ratio with its range."""
    workload, total_bytes = case.workload(), case.files * case.record_bytes
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    candidates = {
        "ours": lambda folder: generate(workload, FileStore(folder), NoProgress()),
        "bare": lambda folder: bare_loop(folder, case.files, case.record_bytes),
    }
    for turn in range(ROUNDS + 1):
        for name in sorted(candidates, reverse=bool(turn % 2)):
            folder = root / f"{name}-{turn}"
            begin = time.perf_counter()
            candidates[name](folder)
            times[name].append(time.perf_counter() - begin)
            shutil.rmtree(folder)
    show(case, total_bytes, {name: values[1:] for name, values in times.items()})


def show(case: Case, total_bytes: int, times: dict[str, list[float]]) -> None:
    """Print one line; the first round has warmed up and is left out."""
    rates = {name: [total_bytes / value / 1e6 for value in times[name]] for name in times}
    low, middle, high = statistics.quantiles(
        [bare / ours for ours, bare in zip(times["ours"], times["bare"], strict=True)], n=4
    )
    ours, bare = (statistics.median(rates[name]) for name in ("ours", "bare"))
    print(
        f"{case.name:18} ours {ours:6,.0f} MB/s ({max(rates['ours']):6,.0f} at best)   "
        f"bare {bare:6,.0f} MB/s ({max(rates['bare']):6,.0f} at best)   "
        f"ratio {middle:.2f} ({low:.2f} .. {high:.2f})",
        flush=True,
    )


def main() -> None:
    """Measure all cases in a folder of their own."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    print(f"{DATASET_THREADS} threads, median (quartiles) of {ROUNDS} rounds")
    with tempfile.TemporaryDirectory(prefix="cm4storage-bench-", dir=parent) as folder:
        for case in CASES:
            measure(case, Path(folder))


if __name__ == "__main__":
    main()
