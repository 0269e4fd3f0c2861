"""The loader on an object service against the same job on local files, in turn.

    python bench/loader_on_objects.py [--service=s3|azure] [--rounds=5] [--folder=FOLDER]

Client and server share the machine, so the server is often the limit: beside the loader's rate
stands that of a bare obstore loop over the same objects with as many threads, and the share of the
processors that the server took meanwhile.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from object_clients import clients_of
from object_stores import server_cpu_s

import loader
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage import embedded
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.workload.model import Workload

THREADS = (1, 2, 4)


@dataclass(frozen=True)
class Measured:
    """One pass over the data."""

    seconds: float
    client_cpu_s: float
    server_cpu_s: float


class Side:
    """One way over the same samples."""

    def __init__(self, work: Callable[[], object], server_dir: Path) -> None:
        self._work = work
        self._server_dir = server_dir

    def measure(self) -> Measured:
        """Do the work once."""
        server, client = server_cpu_s(self._server_dir), _cpu_s()
        begin = time.perf_counter()
        self._work()
        seconds = time.perf_counter() - begin
        return Measured(seconds, _cpu_s() - client, server_cpu_s(self._server_dir) - server)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def workload_of(params: str, threads: int) -> Workload:
    """Return the workload of a case."""
    params = f"{loader.COMMON} {params} reader.read_threads={threads}"
    return resolve(Request(params=params)).workload


def train(workload: Workload, root: StoreLocation) -> Callable[[], object]:
    """Return what runs one epoch; the data set is there already."""

    def run() -> None:
        with open_dataset(workload, root) as dataset:
            trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
            trainer.run(Limits())

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service", choices=("s3", "azure"), default="s3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    scheme = "az" if args.service == "azure" else "s3"
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as folder,
        embedded.connect(Path(folder, "server"), args.service) as server,
    ):
        server_dir = Path(folder, "server")
        objects = StoreLocation.parse(f"{scheme}://{server.bucket}/loader", server_dir=server_dir)
        files = StoreLocation.parse(f"{folder}/files")
        bare = next(c for c in clients_of(args.service, server) if c.name == "bare obstore")
        for name, params in loader.CASES.items():
            workload = workload_of(params, 1)
            for root in (objects, files):
                prepare(workload, root, NoProgress(), lambda _line: None)
            size_bytes = (
                workload.dataset.record_length_bytes * workload.dataset.num_samples_per_file
            )
            count = max(1, min(64, (512 * 2**20) // size_bytes))
            body = os.urandom(size_bytes)
            keys = [f"{size_bytes}/{number:05}" for number in range(count)]
            for key in keys:
                bare.put(key, body)
            work = partial(fetch, bare, keys)
            run_case(Case(name, params, len(keys) * size_bytes), (objects, files), server_dir, work,
                     args.rounds)  # fmt: skip


def fetch(client: object, keys: list[str], threads: int) -> None:
    """Get all objects by a bare client."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(client.get, keys))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Case:
    """A workload, and how many bytes a pass of the bare loop has."""

    name: str
    params: str
    bare_bytes: int


def run_case(
    case: Case,
    roots: tuple[StoreLocation, StoreLocation],
    server_dir: Path,
    bare: Callable[[int], None],
    rounds: int,
) -> None:
    """Print a row for each side, with its best number of threads."""
    found: dict[str, list[tuple[float, Measured, int]]] = defaultdict(list)
    for _ in range(rounds):
        best: dict[str, tuple[float, Measured, int]] = {}
        for threads in THREADS:
            workload = workload_of(case.params, threads)
            epoch_bytes = workload.total_samples * workload.dataset.record_length_bytes
            sides = {
                "loader on objects": (Side(train(workload, roots[0]), server_dir), epoch_bytes),
                "loader on files": (Side(train(workload, roots[1]), server_dir), epoch_bytes),
                "bare obstore": (Side(partial(bare, threads), server_dir), case.bare_bytes),
            }
            for side, (work, size_bytes) in sides.items():
                measured = work.measure()
                rate = size_bytes / measured.seconds / 1e6
                if side not in best or rate > best[side][0]:
                    best[side] = (rate, measured, threads)
        for side, each in best.items():
            found[side].append(each)
    print(f"\n{case.name}")
    processors = len(os.sched_getaffinity(0))
    first = [rate for rate, _, _ in found["loader on objects"]]
    for side, results in found.items():
        rates = [rate for rate, _, _ in results]
        ratios = [a / b for a, b in zip(first, rates, strict=True)]
        share = statistics.median(
            measured.server_cpu_s / measured.seconds / processors for _, measured, _ in results
        )
        own = statistics.median(
            measured.client_cpu_s / measured.seconds / processors for _, measured, _ in results
        )
        print(
            f"  {side:20} {statistics.median(rates):7,.0f} MB/s ({results[0][2]} threads)  "
            f"objects / this {statistics.median(ratios):.2f} ({min(ratios):.2f} .. "
            f"{max(ratios):.2f})  processors: client {own:.0%}, server {share:.0%}"
        )


if __name__ == "__main__":
    main()
