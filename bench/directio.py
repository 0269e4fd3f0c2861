"""DirectStore beside fio and a bare ``preadv``/``pwritev`` loop, O_DIRECT all of them, in turn.

    python bench/directio.py [--folder=FOLDER] [--mib=8] [--files=64] [--rounds=7] [--threads=1]

Each round writes all files by each side, and reads them: a whole file at a time, from and into
page-aligned memory that is used again. *lend* is `DirectStore.read`, *into* is
`DirectStore.read_into`, *copied* is a write from memory that is not aligned. fio runs psync with
blocks of a whole file; its depth is the number of threads. Medians, quartiles of the ratios to fio,
and the client's CPU seconds per GB.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import queue
import resource
import shutil
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import bare_loops

from cm4storage.storage.folders.directio import DirectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 2**20


@dataclass
class Side:
    """What one side came to, round by round."""

    mb_per_s: list[float] = field(default_factory=list)
    cpu_s_per_gb: list[float] = field(default_factory=list)


class Files:
    """The files of one run, and what reads and writes them."""

    def __init__(self, folder: Path, count: int, size_bytes: int, threads: int) -> None:
        self.folder, self.count, self.size_bytes = folder, count, size_bytes
        self.threads = threads
        self.store = DirectStore(folder)
        self.paths = [folder / f"{number:04}" for number in range(count)]
        self._memories: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(threads):
            memory = memoryview(mmap.mmap(-1, size_bytes + 4096))
            memory[:] = os.urandom(memory.nbytes)
            self._memories.put(memory)

    @contextlib.contextmanager
    def memory(self, shift: int = 0) -> Iterator[memoryview]:
        """Lend a file's worth of memory, `shift` bytes behind a page."""
        memory = self._memories.get()
        yield memory[shift : shift + self.size_bytes]
        self._memories.put(memory)

    def bare_read(self, number: int) -> None:
        """Open, read, close."""
        descriptor = os.open(self.paths[number], os.O_RDONLY | os.O_DIRECT)
        with self.memory() as memory:
            os.preadv(descriptor, [memory], 0)
        os.close(descriptor)

    def bare_write(self, number: int) -> None:
        """Write under another name, and rename."""
        unfinished = self.folder / f".{number}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT
        descriptor = os.open(unfinished, flags)
        with self.memory() as memory:
            os.pwritev(descriptor, [memory], 0)
        os.close(descriptor)
        unfinished.rename(self.paths[number])

    def lend(self, number: int) -> None:
        """`Store.read`."""
        with self.store.read(self.paths[number].name):
            pass

    def into(self, number: int) -> None:
        """`Store.read_into`."""
        with self.memory() as memory:
            self.store.read_into(self.paths[number].name, memory)

    def write(self, number: int) -> None:
        """`Store.write` from aligned memory."""
        with self.memory() as memory:
            self.store.write(self.paths[number].name, [memory])

    def copied(self, number: int) -> None:
        """`Store.write` from memory that is not aligned."""
        with self.memory(1) as memory:
            self.store.write(self.paths[number].name, [memory])

    def remove(self) -> None:
        """Make room for new files."""
        for path in self.paths:
            path.unlink(missing_ok=True)


def cpu_s() -> float:
    """Return the processor time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(files: Files, work: Callable[[int], None], side: Side) -> None:
    """Add one round of a side of ours, or of the bare loop."""
    total_bytes = files.count * files.size_bytes
    begin = cpu_s()
    seconds = bare_loops.timed(work, files.count, files.threads)
    side.cpu_s_per_gb.append((cpu_s() - begin) / total_bytes * 1e9)
    side.mb_per_s.append(total_bytes / seconds / 1e6)


def measure_fio(files: Files, kind: str, side: Side) -> None:
    """Add one round of fio, by its own report."""
    job = bare_loops.fio(kind, files.paths, files.size_bytes, files.threads)
    total_bytes = files.count * files.size_bytes
    seconds = job[kind]["runtime"] / 1000
    side.mb_per_s.append(total_bytes / seconds / 1e6)
    busy = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
    side.cpu_s_per_gb.append(busy / total_bytes * 1e9)


def one_round(files: Files, sides: dict[str, Side], *, has_fio: bool) -> None:
    """Write and read all files by all sides."""
    for name, work in (
        ("write ours", files.write),
        ("write ours, copied", files.copied),
        ("write bare loop", files.bare_write),
    ):
        files.remove()
        measure(files, work, sides[name])
    if has_fio:
        files.remove()
        measure_fio(files, "write", sides["write fio"])
    for name, work in (
        ("read ours, lend", files.lend),
        ("read ours, into", files.into),
        ("read bare loop", files.bare_read),
    ):
        measure(files, work, sides[name])
    if has_fio:
        measure_fio(files, "read", sides["read fio"])


def show(sides: dict[str, Side]) -> None:
    """Print a line for each side; the first round warmed up."""
    for name, side in sides.items():
        against = sides.get(f"{name.split()[0]} fio")
        line = f"{name:20} {statistics.median(side.mb_per_s[1:]):8.0f} MB/s"
        line += f"  {statistics.median(side.cpu_s_per_gb[1:]):6.3f} CPU-s/GB"
        if against is not None and against is not side:
            pairs = zip(side.mb_per_s[1:], against.mb_per_s[1:], strict=True)
            low, middle, high = statistics.quantiles([ours / fio for ours, fio in pairs], n=4)
            line += f"  {middle:.2f} ({low:.2f} .. {high:.2f}) of fio"
        print(line)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--mib", type=int, default=8)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    has_fio = shutil.which("fio") is not None
    sides: dict[str, Side] = defaultdict(Side)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        files = Files(Path(folder), args.files, args.mib * MIB, args.threads)
        for _ in range(max(2, args.rounds) + 1):
            one_round(files, sides, has_fio=has_fio)
    print(
        f"{args.files} x {args.mib} MiB, {args.threads} thread(s), {args.rounds} rounds;", end=" "
    )
    print(f"fio: psync, block {args.mib} MiB, depth {args.threads}" if has_fio else "no fio here")
    show(sides)


if __name__ == "__main__":
    main()
