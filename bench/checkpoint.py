"""Checkpoints beside fio, bare loops, torch.save and a bare obstore, in turn.

    python bench/checkpoint.py [--folder=FOLDER] [--mib=1024] [--rounds=9] [--case=TEXT]

Each round measures every side of a case; a ratio is that of one round, and the line shows the
median and the range over the rounds (the first one warms up and does not count).
CM4STORAGE_DLIO_PYTHON names a Python with PyTorch; without it, torch.save is left out. *Direct* is
O_DIRECT. fio runs psync with blocks of 4 MiB and depth 1.
"""

from __future__ import annotations

import argparse
import mmap
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.restoring import read_file
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.checkpoint.writing import write_file
from cm4storage.storage import embedded, page_cache
from cm4storage.storage.folders.directio import DirectStore
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 2**20
BLOCK_BYTES = 4 * MIB
TENSOR_BYTES = 64 * MIB

TORCH = """
import os, sys, time, torch
path, count = sys.argv[1], int(sys.argv[2])
state = {str(n): torch.randint(0, 256, (64 * 2**20,), dtype=torch.uint8) for n in range(count)}
print("ready", flush=True)
for _ in sys.stdin:
    begin = time.perf_counter()
    with open(path, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    print(time.perf_counter() - begin, flush=True)
"""


@dataclass
class Context:
    """What the sides of a case work with."""

    folder: Path
    size_bytes: int
    memory: memoryview = field(init=False)
    payload: GeneratedPayload = field(init=False)

    def __post_init__(self) -> None:
        self.memory = memoryview(mmap.mmap(-1, 16 * BLOCK_BYTES))
        self.memory[:] = os.urandom(self.memory.nbytes)
        count = self.size_bytes // TENSOR_BYTES
        self.payload = GeneratedPayload(
            [Tensor(str(n), "U8", (TENSOR_BYTES,)) for n in range(count)]
        )

    def blocks(self) -> Iterator[memoryview]:
        """Yield prepared blocks, as many bytes as the checkpoint has."""
        for start in range(0, self.size_bytes, BLOCK_BYTES):
            at = start % self.memory.nbytes
            yield self.memory[at : at + BLOCK_BYTES]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def direct_writes(context: Context) -> dict[str, Callable[[], float]]:
    """Write past the page cache: ours, fio, and torch.save with fsync."""
    store = DirectStore(context.folder)
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: timed(partial(write_file, store, "ours", context.payload, Encoding(), {})),
        "fio": lambda: fio_s(context, "write"),
    }
    torch = torch_save(context)
    return sides | ({"torch.save + fsync": torch} if torch else {})


def fio_s(context: Context, kind: str) -> float:
    """Return the seconds of fio's sequential write: psync, blocks of 4 MiB, depth 1."""
    path = context.folder / "fio"
    path.unlink(missing_ok=True)
    command = [
        *("fio", "--name=j", f"--filename={path}", f"--rw={kind}", "--bs=4M", "--direct=1"),
        *("--ioengine=psync", f"--size={context.size_bytes}", "--output-format=json"),
        *("--refill_buffers", "--fallocate=none"),
    ]
    import json

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (job,) = json.loads(done.stdout)["jobs"]
    return float(job[kind]["runtime"]) / 1000


def torch_save(context: Context) -> Callable[[], float] | None:
    """Return what saves the same bytes with torch.save, in a process that has made them before."""
    python = os.environ.get("CM4STORAGE_DLIO_PYTHON")
    if not python:
        return None
    count = str(context.size_bytes // TENSOR_BYTES)
    process = subprocess.Popen(
        [python, "-c", TORCH, str(context.folder / "torch"), count],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    stdin, stdout = process.stdin, process.stdout

    def side() -> float:
        stdin.write("\n")
        stdin.flush()
        return float(stdout.readline())

    return side


def buffered_writes(context: Context) -> dict[str, Callable[[], float]]:
    """Write through the page cache and sync."""
    store = FileStore(context.folder, fsync=True)

    def bare() -> None:
        with (context.folder / "bare").open("wb", buffering=0) as file:
            for block in context.blocks():
                file.write(block)
            os.fsync(file.fileno())

    return {
        "ours": lambda: timed(partial(write_file, store, "ours", context.payload, Encoding(), {})),
        "bare write + fsync": lambda: timed(bare),
    }


def reads(
    context: Context, store: FileStore | DirectStore, flags: int, *, is_cold: bool
) -> dict[str, Callable[[], float]]:
    """Read and verify, and read into one buffer."""
    written = write_file(store, "ours", context.payload, Encoding(), {})
    path = str(context.folder / "ours")

    def prepare() -> None:
        if is_cold:
            page_cache.evict([path])

    def ours() -> float:
        prepare()
        return timed(partial(read_file, store, written))

    def bare() -> float:
        prepare()
        return timed(loop)

    def loop() -> None:
        descriptor = os.open(path, os.O_RDONLY | flags)
        for start in range(0, written.stored_bytes, BLOCK_BYTES):
            at = start % context.memory.nbytes
            os.preadv(descriptor, [context.memory[at : at + BLOCK_BYTES]], start)
        os.close(descriptor)

    return {"ours, verified": ours, "bare preadv": bare}


def compression(context: Context) -> dict[str, Callable[[], float]]:
    """Compress data of which half can be, and drop them: two threads and one."""

    class Nowhere(FileStore):
        def write(self, key: str, chunks: Any) -> int:  # noqa: ARG002 - measured without a disk
            return sum(chunk.nbytes for chunk in chunks)

    store = Nowhere(context.folder)
    payload = HalfPayload(context.payload)

    def with_threads(count: int) -> float:
        encoding = Encoding(zstd_level=1, workers=count)
        return timed(partial(write_file, store, "x", payload, encoding, {}))

    return {"two threads": lambda: with_threads(2), "one thread": lambda: with_threads(1)}


class HalfPayload:
    """Every second 64 KiB are zeros."""

    def __init__(self, payload: GeneratedPayload) -> None:
        self._payload = payload
        self.tensors = payload.tensors

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        """Fill a part; see `Payload.fill`."""
        self._payload.fill(number, start, buffer)
        zeros = bytes(65536)
        for at in range(0, buffer.nbytes - 65536, 131072):
            buffer[at : at + 65536] = zeros


def s3_writes(context: Context) -> dict[str, Callable[[], float]]:
    """Multipart uploads to the embedded server: ours, and obstore's own."""
    import obstore
    from obstore.store import S3Store

    server_dir = context.folder / "server"
    location = StoreLocation.parse("s3://bench/ck", server_dir=server_dir)
    opened = open_store(location)
    store = opened.__enter__()
    OPEN.append(opened)
    joined = embedded.connect(server_dir)
    server = joined.__enter__()
    OPEN.append(joined)
    bare_store = S3Store(
        server.bucket, endpoint=server.endpoint_url, access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key, region="us-east-1",
        virtual_hosted_style_request=False, client_options={"allow_http": True},
    )  # fmt: skip

    def bare() -> None:
        obstore.put(bare_store, "bare", context.blocks(), chunk_size=8 * MIB, max_concurrency=4)

    return {
        "ours": lambda: timed(partial(write_file, store, "ours", context.payload, Encoding(), {})),
        "bare obstore multipart": lambda: timed(bare),
    }


OPEN: list[Any] = []

CASES: dict[str, Callable[[Context], dict[str, Callable[[], float]]]] = {
    "write, direct": direct_writes,
    "write, buffered with fsync": buffered_writes,
    "read and verify, cold": lambda c: reads(c, FileStore(c.folder), 0, is_cold=True),
    "read and verify, warm": lambda c: reads(c, FileStore(c.folder), 0, is_cold=False),
    "read and verify, direct": lambda c: reads(
        c, DirectStore(c.folder), os.O_DIRECT, is_cold=False
    ),
    "zstd level 1": compression,
    "write, s3 multipart": s3_writes,
}


def run_case(name: str, context: Context, rounds: int) -> None:
    """Measure all sides of a case in turn and print a line for each."""
    sides = CASES[name](context)
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for side, work in sides.items():
            seconds[side].append(work())
    first, *others = sides
    rate = context.size_bytes / 1e6 / statistics.median(seconds[first][1:])
    print(f"{name}\n  {first:24} {rate:8,.0f} MB/s")
    for other in others:
        rate = context.size_bytes / 1e6 / statistics.median(seconds[other][1:])
        ratios = [b / a for a, b in zip(seconds[first][1:], seconds[other][1:], strict=True)]
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        print(
            f"  {other:24} {rate:8,.0f} MB/s   {first} / {other}: "
            f"{statistics.median(ratios):.2f} ({spread})"
        )


PEAK = r"""
import re, sys
from pathlib import Path
from cm4storage.checkpoint.catalogue import Checkpoints
from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store
with open_store(StoreLocation.parse(sys.argv[1])) as store:
    checkpoints = Checkpoints(store, "peak", Encoding(zstd_level=int(sys.argv[3]) or None))
    count = int(sys.argv[2]) // 2**28
    payload = GeneratedPayload([Tensor(str(n), "U8", (2**28,)) for n in range(count)])
    checkpoints.verify(checkpoints.save(1, payload))
print(1024 * int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1]))
"""


def peak_memory(folder: Path, size_bytes: int) -> None:
    """Print the most memory of a process that writes and verifies a large checkpoint."""
    for scheme in ("file", "directio"):
        for level in (0, 1):
            words = [f"{scheme}://{folder}/peak", str(size_bytes), str(level)]
            done = subprocess.run(
                [sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True
            )
            text = f"{scheme}{', zstd' if level else ''}"
            print(f"peak memory at {size_bytes / 2**30:.0f} GiB, {text}: "
                  f"{int(done.stdout) / MIB:,.0f} MiB")  # fmt: skip
            shutil.rmtree(folder / "peak")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--case", default="", help="only those whose name has this text")
    parser.add_argument("--peak_gib", type=int, default=0, help="also the peak memory at this size")
    args = parser.parse_args()
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for name in CASES:
            if args.case in name:
                place = Path(folder, name.replace(" ", "-"))
                place.mkdir()
                run_case(name, Context(place, args.mib * MIB), args.rounds)
                while OPEN:
                    OPEN.pop().__exit__(None, None, None)
                shutil.rmtree(place, ignore_errors=True)
        if args.peak_gib:
            peak_memory(Path(folder), args.peak_gib * 2**30)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    busy_s = usage.ru_utime + usage.ru_stime
    print(f"{time.monotonic() - begin_s:.0f} s, {busy_s:.0f} s of processor time of this process")


if __name__ == "__main__":
    main()
