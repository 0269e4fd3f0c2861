"""Generation against bare loops that write prepared buffers, in turn, in one process.

Run: ``python bench/generate.py [FOLDER]``. Prints MB/s of all, and the ratio to each bare loop with
its spread over the rounds. A bare loop makes, writes and closes the same number of files of the
same size, with as many threads; it computes nothing, and its files are neither atomic nor listed.

- ``memory``: the contents of 12 files (a batch of 4 times a prefetch of 2, and one more) were
  prepared, and are written in turn, so that each comes from memory.
- ``cache``: each thread writes the same 512 KiB again and again; they never leave its core's cache.
- ``computed``: as ``cache``, but these 512 KiB are computed anew each time, with a CRC-32 and the
  digest of the manifest: the least that generation can do.

All write into the page cache. Each round writes into a new folder, which is removed outside the
clock; the order changes from round to round. The processor time of ours is shown by stages.
"""

from __future__ import annotations

import itertools
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

import xxhash
from isal.isal_zlib import crc32

from cm4storage.core.progress import NoProgress
from cm4storage.core.units import KIB, MIB
from cm4storage.dataset.contents import FileContent
from cm4storage.dataset.generation import generate
from cm4storage.dataset.outputs import DATASET_THREADS, shape_of
from cm4storage.formats.format import format_of
from cm4storage.storage.folders.file import FileStore
from cm4storage.workload.plan import Plan
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cm4storage.workload.model import Workload

ROUNDS = 15
BARE_PART_BYTES = 512 * KIB
"""What bare loops did best with, of 64 KiB to 8 MiB: larger parts leave the cache of a core."""
PREPARED_FILES = 12


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

    @property
    def total_bytes(self) -> int:
        """The size of all samples."""
        return self.files * self.record_bytes

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


def write_files(folder: Path, files: int, parts: Callable[[int], Iterable[memoryview]]) -> None:
    """Write files of prepared parts with the least that does it."""
    folder.mkdir(parents=True)

    def write(number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(f"{folder}/{number}", flags)
        for part in parts(number):
            os.write(descriptor, part)
        os.close(descriptor)

    with ThreadPoolExecutor(DATASET_THREADS) as executor:
        for _ in executor.map(write, range(files)):
            pass


def from_memory(case: Case) -> Callable[[Path], None]:
    """Return the bare loop over the contents of several files."""
    files = [memoryview(bytearray(os.urandom(case.record_bytes))) for _ in range(PREPARED_FILES)]
    starts = range(0, case.record_bytes, BARE_PART_BYTES)
    parts = [[file[start : start + BARE_PART_BYTES] for start in starts] for file in files]
    return lambda folder: write_files(folder, case.files, lambda n: parts[n % PREPARED_FILES])


def from_cache(case: Case) -> Callable[[Path], None]:
    """Return the bare loop over one buffer a thread."""
    prepared = Prepared()
    starts = range(0, case.record_bytes, BARE_PART_BYTES)
    lengths = [min(BARE_PART_BYTES, case.record_bytes - start) for start in starts]
    return lambda folder: write_files(
        folder, case.files, lambda _n: [prepared.buffer[:length] for length in lengths]
    )


def computed(case: Case, workload: Workload) -> Callable[[Path], None]:
    """Return the bare loop that computes what it writes."""
    prepared, files = Prepared(), list(Plan.of(workload).files())
    starts = range(0, case.record_bytes, BARE_PART_BYTES)

    def parts(number: int) -> Iterator[memoryview]:
        stream, hasher, crc = FileContent(files[number]), xxhash.xxh3_128(), 0
        for start in starts:
            part = prepared.buffer[: case.record_bytes - start]
            stream.fill(part)
            crc = crc32(part, crc)
            hasher.update(part)
            yield part

    return lambda folder: write_files(folder, case.files, parts)


def measure(case: Case, root: Path) -> None:
    """Run all in turn and print the medians, and the ratios with their range."""
    workload = case.workload()
    candidates: dict[str, Callable[[Path], object]] = {
        "ours": lambda folder: generate(workload, FileStore(folder), NoProgress()),
        "memory": from_memory(case),
        "cache": from_cache(case),
        "computed": computed(case, workload),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    orders = itertools.cycle(itertools.permutations(candidates))
    for turn, order in zip(range(ROUNDS + 1), orders, strict=False):
        for name in order:
            folder = root / f"{name}-{turn}"
            begin = time.perf_counter()
            candidates[name](folder)
            times[name].append(time.perf_counter() - begin)
            shutil.rmtree(folder)
    show(case, {name: values[1:] for name, values in times.items()})
    show_stages(case, workload)


def show(case: Case, times: dict[str, list[float]]) -> None:
    """Print one line for each; the first round has warmed up and is left out."""
    print(case.name)
    for name, values in times.items():
        rates = [case.total_bytes / value / 1e6 for value in values]
        line = f"  {name:8} {statistics.median(rates):6,.0f} MB/s ({max(rates):6,.0f} at best)"
        if name != "ours":
            ratios = [bare / ours for ours, bare in zip(times["ours"], values, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            line += f"   ours {middle:.2f} of it ({low:.2f} .. {high:.2f})"
        print(line, flush=True)


class Stages:
    """What is done with a byte before it is written, as far as each of these functions goes."""

    def __init__(self, case: Case, workload: Workload) -> None:
        self._plan = Plan.of(workload)
        self._format = format_of(workload.dataset)
        self._starts = range(0, case.record_bytes, BARE_PART_BYTES)
        self._buffer = memoryview(bytearray(min(case.record_bytes, BARE_PART_BYTES)))

    def content(self) -> None:
        """Compute the samples."""
        for file in self._plan.files():
            stream = FileContent(file)
            for _ in self._starts:
                stream.fill(self._buffer)

    def encode(self) -> None:
        """Put them into files, with checksums."""
        for file in self._plan.files():
            for _ in self._format.encode(shape_of(file, self._plan), FileContent(file)):
                pass

    def digest(self) -> None:
        """Compute the files' digests, too."""
        for file in self._plan.files():
            hasher = xxhash.xxh3_128()
            for part in self._format.encode(shape_of(file, self._plan), FileContent(file)):
                hasher.update(part)


def show_stages(case: Case, workload: Workload) -> None:
    """Print how fast one core is up to each stage, by processor time, at best of some rounds."""
    stages = Stages(case, workload)
    for work in (stages.content, stages.encode, stages.digest):
        spent_s = min(cpu_s(work) for _ in range(5))
        print(
            f"  up to {work.__name__:8} {case.total_bytes / spent_s / 1e6:6,.0f} MB/s of one core"
        )


def cpu_s(work: Callable[[], None]) -> float:
    """Return the processor time that `work` takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    """Measure all cases in a folder of their own."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    print(f"{DATASET_THREADS} threads, median (quartiles) of {ROUNDS} rounds")
    with tempfile.TemporaryDirectory(prefix="cm4storage-bench-", dir=parent) as folder:
        for case in CASES:
            measure(case, Path(folder))


if __name__ == "__main__":
    main()
