"""The loader against a bare loop on the same files, in turn, in one process.

Run: ``python bench/loader.py [FOLDER]``. Prints samples/s of both and their ratio, with the spread
over the rounds. The bare loop reads each file with ``os.preadv`` into one of
batch * (prefetch + 1) buffers and computes its CRC-32, with as many threads as the loader.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 9
CASES = {
    "npz 64 x 8 MiB, resize 2 MiB": (
        "dataset.num_files_train=64 dataset.record_length_bytes=8388608 reader.batch_size=4 "
        "dataset.record_length_bytes_resize=2097152"
    ),
    "npz 64 x 8 MiB, whole": (
        "dataset.num_files_train=64 dataset.record_length_bytes=8388608 reader.batch_size=4 "
        "dataset.record_length_bytes_resize=0"
    ),
    "npz 2048 x 128 KiB": (
        "dataset.num_files_train=2048 dataset.record_length_bytes=131072 reader.batch_size=16 "
        "dataset.record_length_bytes_resize=0"
    ),
    "tfrecord 128 x 16 x 114 KB": (
        "dataset.format=tfrecord dataset.num_files_train=128 dataset.num_samples_per_file=16 "
        "dataset.record_length_bytes=114660 reader.batch_size=16 "
        "dataset.record_length_bytes_resize=0"
    ),
}
COMMON = (
    "dataset.record_length_bytes_stdev=0 train.computation_time=0 train.epochs=1 "
    "reader.file_shuffle=off reader.sample_shuffle=off"
)


def bare_loop(paths: list[Path], threads: int, buffers: int) -> float:
    """Return the seconds that reading and checksumming all files takes."""
    size = paths[0].stat().st_size
    pool = [bytearray(size) for _ in range(buffers)]

    def read(number: int) -> None:
        buffer = memoryview(pool[number % buffers])
        descriptor = os.open(paths[number], os.O_RDONLY)
        os.preadv(descriptor, [buffer], 0)
        os.close(descriptor)
        crc32(buffer)

    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as executor:
        for _ in executor.map(read, range(len(paths))):
            pass
    return time.perf_counter() - begin


def measure(name: str, params: str, threads: int, root: StoreLocation) -> None:
    """Run both in turn and print the medians, the ratio and its range."""
    params = f"{COMMON} {params} reader.read_threads={threads}"
    workload = resolve(Request(params=params)).workload
    prepared = prepare(workload, root, NoProgress(), lambda _line: None)
    paths = sorted(prepared.location.path.rglob(f"*.{workload.dataset.format}"))
    buffers = workload.reader.batch_size * (workload.reader.prefetch_size + 1)
    ours, bare = [], []
    with open_dataset(workload, root) as dataset:
        for _ in range(ROUNDS):
            trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
            ours.append(trainer.run(Limits()).epochs[0].duration_s)
            bare.append(bare_loop(paths, threads, buffers))
    ratios = sorted(b / o for o, b in zip(ours, bare, strict=True))
    samples = workload.total_samples
    print(
        f"{name:<30} threads {threads}  loader {samples / statistics.median(ours):>8,.0f}/s  "
        f"bare {samples / statistics.median(bare):>8,.0f}/s  "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    """Measure all cases with one and two threads."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as folder:
        root = StoreLocation.parse(folder)
        for name, params in CASES.items():
            for threads in (1, 2, 4):
                measure(name, params, threads, root)


if __name__ == "__main__":
    main()
