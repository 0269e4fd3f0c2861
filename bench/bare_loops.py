"""The loops that a loader is held against: the same files and threads, and nothing around them.

Each returns the seconds of one pass over all files. The buffers are as many as a loader's batches
need, batch size * (prefetch size + 1), and touched before: with a single one all data would stay in
the processor's cache, and with fresh ones the first pass would pay for their pages.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from crc32c import crc32c
from isal.isal_zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable


class Buffers:
    """As many buffers as a loader has for its batches, each with room for a file or a sample."""

    def __init__(self, paths: list[Path], count: int, sample_bytes: int = 0) -> None:
        size_bytes = max(sample_bytes, *(path.stat().st_size for path in paths))
        self.paths = [str(path) for path in paths]
        self._pool = [memoryview(bytearray(os.urandom(1)) * size_bytes) for _ in range(count)]

    def read(self, number: int) -> memoryview:
        """Read a file into the buffer whose turn it is."""
        buffer = self._pool[number % len(self._pool)]
        descriptor = os.open(self.paths[number], os.O_RDONLY)
        count = os.preadv(descriptor, [buffer], 0)
        os.close(descriptor)
        return buffer[:count]

    def array(self, number: int) -> np.ndarray:
        """Return the buffer whose turn it is as bytes of numpy."""
        return np.frombuffer(self._pool[number % len(self._pool)], np.uint8)


def timed(work: Callable[[int], object], count: int, threads: int) -> float:
    """Return the seconds that `threads` threads take to call `work` for all numbers."""
    numbers, errors = itertools.count(), []

    def loop() -> None:
        try:
            while (number := next(numbers)) < count:
                work(number)
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    workers = [threading.Thread(target=loop) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begin
    if errors:
        raise errors[0]
    return seconds


def preadv(buffers: Buffers, threads: int) -> float:
    """Read every file."""
    return timed(buffers.read, len(buffers.paths), threads)


def preadv_crc32(buffers: Buffers, threads: int) -> float:
    """Read every file and compute its CRC-32."""
    return timed(lambda number: crc32(buffers.read(number)), len(buffers.paths), threads)


def preadv_crc32c(buffers: Buffers, threads: int) -> float:
    """Read every file and compute its CRC-32C."""
    return timed(lambda number: crc32c(buffers.read(number)), len(buffers.paths), threads)


def h5py_read_direct(buffers: Buffers, threads: int) -> float:
    """Read the first dataset of every file, one sample each, with h5py."""
    import h5py

    def read(number: int) -> None:
        with h5py.File(buffers.paths[number], "r") as file:
            dataset = file[next(name for name in file if name.startswith("records"))]
            target = buffers.array(number)[: dataset.nbytes].view(dataset.dtype)
            dataset.read_direct(target.reshape(dataset.shape))

    return timed(read, len(buffers.paths), threads)


def numpy_text(buffers: Buffers, threads: int) -> float:
    """Read every file and parse its numbers with numpy."""

    def read(number: int) -> None:
        text = bytes(buffers.read(number)).decode("ascii")
        np.fromstring(text.replace("\n", ","), np.uint8, sep=",")

    return timed(read, len(buffers.paths), threads)


def pillow_in_memory(buffers: Buffers, threads: int) -> float:
    """Decode every file from memory with Pillow; the reading is not in the time."""
    from PIL import Image

    files = [bytes(buffers.read(number)) for number in range(len(buffers.paths))]

    def decode(number: int) -> None:
        with Image.open(io.BytesIO(files[number])) as image:
            buffers.array(number)[: image.width * image.height] = np.asarray(image).reshape(-1)

    return timed(decode, len(files), threads)


def fio_psync(buffers: Buffers, threads: int) -> float:
    """Read every file once with fio, O_DIRECT, one whole file at a time; needs fio on PATH."""
    size_bytes = Path(buffers.paths[0]).stat().st_size // 4096 * 4096
    paths = [Path(path) for path in buffers.paths]
    return float(fio("read", paths, size_bytes, threads)["read"]["runtime"]) / 1000


def fio(kind: str, paths: list[Path], size_bytes: int, threads: int) -> dict[str, Any]:
    """Read or write files with fio (psync, O_DIRECT, a whole file at a time); return its report.

    psync has one request at a time, so its depth is the number of threads.
    """
    program = shutil.which("fio")
    if program is None:
        raise FileNotFoundError("fio")
    jobs = []
    for thread in range(threads):
        # fio takes 4 KiB of names: they are relative to the folder.
        names = [path.name for path in paths[thread::threads]]
        jobs += [f"--name=job{thread}", f"--filename={':'.join(names)}"]
        jobs += ["--file_service_type=sequential", f"--size={size_bytes * len(names)}"]
    done = subprocess.run(
        [program, "--ioengine=psync", "--direct=1", f"--rw={kind}", f"--bs={size_bytes}",
         "--fallocate=none", "--thread", "--group_reporting", "--output-format=json", *jobs],
        check=True, capture_output=True, text=True, cwd=paths[0].parent,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)["jobs"][0]
    return report


def write_prepared(folder: Path, size_bytes: int, files: int, threads: int) -> float:
    """Write files from prepared buffers, each under another name first.

    Half a MiB at a time, with which such loops do best.
    """
    data = [memoryview(os.urandom(size_bytes)) for _ in range(4)]
    starts = range(0, size_bytes, 2**19)

    def write(number: int) -> None:
        unfinished = folder / f".{number}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for start in starts:
            os.write(descriptor, data[number % len(data)][start : start + 2**19])
        os.close(descriptor)
        unfinished.rename(folder / str(number))

    return timed(write, files, threads)
