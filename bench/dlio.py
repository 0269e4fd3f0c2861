"""The loader beside dlio-benchmark and beside bare loops, in turn, on the same files.

Run: ``CM4STORAGE_DLIO_PYTHON=PYTHON python bench/dlio.py [--case TEXT] [--quick] [--folder DIR]``,
where PYTHON is that of an environment with dlio-benchmark; without it only the bare loops are
compared. One rank, no computation, the page cache warm. Of each side the best number of threads
counts; ours reads with threads, and once more with reader processes. The figures are medians over
epochs; the first epoch of a process is left out, since it starts workers and fills memory. A range
of ratios is that over the rounds. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bare_loops
from dlio_peer import Peer, peer_python, without_debug_line
from whole_runs import WHOLE_RUNS

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.foreign import open_foreign
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.loader.limits import Readers
    from cm4storage.workload.model import Workload

    BareLoop = Callable[[bare_loops.Buffers, int], float]

MIB = 2**20
THREADS = (1, 2, 4)
PEER_THREADS = {"pytorch": (0, 2, 4), "tensorflow": (1, 2, 4)}
"""Those of the wheel; its reader of tfrecords fails with 0."""
EPOCHS = 4
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """One row: a data set, what hands it over, and the ratios to reach.

    Attributes
    ----------
    dataset, reader : dict
        Keys of the workload in the dialect of the wheel.
    bare : callable or None
        The bare loop of this format.
    bare_threads : tuple of int
        The threads of the bare loop; as many as the loader's where it is empty.
    peer_target, bare_target : float or None
    has_debug_case : bool
        Also beside the wheel without the message that it makes for each sample.
    """

    name: str
    dataset: dict[str, Any]
    reader: dict[str, Any]
    bare: BareLoop | None
    peer_target: float | None = None
    bare_target: float | None = None
    bare_threads: tuple[int, ...] = ()
    has_debug_case: bool = False
    debug_target: float | None = None
    has_peer: bool = True

    @property
    def framework(self) -> str:
        """The framework with which the wheel reads this format."""
        return "tensorflow" if self.dataset["format"] == "tfrecord" else "pytorch"

    def document(self, **reader: object) -> dict[str, Any]:
        """Return the workload as YAML has it."""
        return {
            "model": "bench",
            "framework": self.framework,
            "workflow": {"generate_data": False, "train": True},
            "dataset": dict(self.dataset),
            "reader": {"data_loader": self.framework, **self.reader, **reader},
            "train": {"epochs": EPOCHS, "computation_time": 0},
        }


def _files(name: str, count: int, length: int, *, samples: int = 1, **more: int) -> dict[str, Any]:
    numbers = {"num_files_train": count, "num_samples_per_file": samples, "record_length": length}
    return {"format": name, **numbers, **more}


CASES = (
    Case("npz 64 x 8 MiB, resize 2 MiB",
         _files("npz", 64, 8 * MIB, record_length_resize=2 * MIB), {"batch_size": 4},
         bare_loops.preadv_crc32, 4, 0.8),
    Case("npz 64 x 8 MiB, whole", _files("npz", 64, 8 * MIB), {"batch_size": 4},
         bare_loops.preadv_crc32, 4, 0.7),
    Case("hdf5 64 x 8 MiB", _files("hdf5", 64, 8 * MIB), {"batch_size": 4},
         bare_loops.h5py_read_direct, 2.5, 1.0),
    Case("npy 64 x 8 MiB", _files("npy", 64, 8 * MIB), {"batch_size": 4},
         bare_loops.preadv, 2, 0.9),
    Case("npz 2,048 x 128 KiB", _files("npz", 2048, 128 * 1024), {"batch_size": 16},
         bare_loops.preadv_crc32, 15, 0.5, has_debug_case=True, debug_target=5),
    Case("tfrecord 128 x 16 x 114 KB", _files("tfrecord", 128, 114660, samples=16),
         {"batch_size": 16}, bare_loops.preadv_crc32c, 6),
    Case("jpeg 1,024 x 85 KB", _files("jpeg", 1024, 150528), {"batch_size": 16},
         bare_loops.pillow_in_memory, 1.6, 0.9, bare_threads=(2,), has_debug_case=True),
    Case("png 1,024 x 150 KB", _files("png", 1024, 150528), {"batch_size": 16},
         bare_loops.pillow_in_memory, 1.7, bare_threads=(2,), has_debug_case=True),
    Case("csv 16 x 64 KB", _files("csv", 16, 65536), {"batch_size": 4},
         bare_loops.numpy_text, None, 0.7, has_peer=False),
    Case("indexed_binary 128 x 16 x 128 KiB",
         _files("indexed_binary", 128, 128 * 1024, samples=16), {"batch_size": 16},
         bare_loops.preadv),
    Case("npy 64 x 8 MiB, O_DIRECT", _files("npy", 64, 8 * MIB),
         {"batch_size": 4, "odirect": True}, bare_loops.fio_psync, None, 0.9, has_peer=False),
)  # fmt: skip
"""The rows of throughput; the wheel cannot read with O_DIRECT."""


@dataclass
class Side:
    """Samples/s of one side: by number of threads, the median of each round."""

    rates: dict[int, list[float]] = field(default_factory=dict)

    def add(self, threads: int, rates: list[float]) -> None:
        """Take in the epochs of one round."""
        self.rates.setdefault(threads, []).append(statistics.median(rates))

    @property
    def best(self) -> int:
        """The number of threads with the highest median."""
        return max(self.rates, key=lambda threads: statistics.median(self.rates[threads]))

    @property
    def rounds(self) -> list[float]:
        """The rounds of the best number of threads."""
        return self.rates[self.best]

    def show(self) -> str:
        """Return the rate and its threads."""
        return f"{statistics.median(self.rounds):,.0f} ({self.best})" if self.rates else ""


def ratio(side: Side, other: Side, target: float | None) -> str:
    """Return the ratio of two sides' best, its range over the rounds, and the target."""
    if not side.rates or not other.rates:
        return ""
    ratios = sorted(a / b for a, b in zip(side.rounds, other.rounds, strict=True))
    wanted = "" if target is None else f", at least {target:g}"
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f}){wanted}"


class Bench:
    """The peers, the folder and the number of rounds.

    Parameters
    ----------
    folder : Path
        Where data sets and results go.
    rounds : int
    """

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        python = peer_python()
        self.peer = Peer(python, folder / "peer") if python else None
        self.plain_peer = None
        if python:
            shadow = without_debug_line(python, folder / "shadow")
            self.plain_peer = Peer(python, folder / "plain_peer", shadow)

    def throughput(self, case: Case) -> str:
        """Measure one case, all sides in turn; return its rows."""
        own: dict[Readers, Side] = {"threads": Side(), "processes": Side()}
        peer, plain, bare = Side(), Side(), Side()
        with self._data(case) as (workload, data, paths):
            for _ in range(self.rounds):
                if self.peer and case.has_peer:
                    self._peer_round(case, self.peer, data, peer)
                if self.plain_peer and case.has_debug_case:
                    self._peer_round(case, self.plain_peer, data, plain)
                for readers, ours in own.items():
                    self._own_round(case, data, readers, ours)
                self._bare_round(case, workload, paths, bare)
        rows = []
        for readers, ours in own.items():
            name = case.name if readers == "threads" else "the same, reader processes"
            cells = [name, ours.show(), peer.show(), ratio(ours, peer, case.peer_target)]
            cells += [plain.show(), ratio(ours, plain, case.debug_target)]
            cells += [bare.show(), ratio(ours, bare, case.bare_target)]
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows)

    @contextlib.contextmanager
    def _data(self, case: Case) -> Iterator[tuple[Workload, Path, list[Path]]]:
        """Lend the workload, the folder that both sides read, and its training files."""
        with tempfile.TemporaryDirectory(dir=self.folder) as data:
            root, workload = StoreLocation.parse(data), self._workload(case, 1)
            made = prepare(workload, root, NoProgress(), lambda _line: None).location.path
            yield workload, made, sorted(made.glob(f"train/*.{workload.dataset.format}"))

    def _workload(self, case: Case, threads: int) -> Workload:
        import yaml

        config = self.folder / "bench.yaml"
        config.write_text(yaml.safe_dump(case.document(read_threads=threads)), encoding="utf-8")
        return resolve(Request(config=config)).workload

    def _peer_round(self, case: Case, peer: Peer, data: Path, side: Side) -> None:
        for threads in PEER_THREADS[case.framework]:
            document = case.document(read_threads=threads)
            document["dataset"]["data_folder"] = str(data)
            done = peer.run(document, "bench")
            if done.returncode:
                raise RuntimeError(done.output)
            batch = case.reader["batch_size"]
            steps = zip(done.steps(), done.epochs_s(), strict=True)
            side.add(threads, [n * batch / seconds for n, seconds in steps][1:])

    def _own_round(self, case: Case, data: Path, readers: Readers, side: Side) -> None:
        conduct = Conduct(readers=readers)
        for threads in THREADS:
            workload = self._workload(case, threads)
            with open_foreign(workload, StoreLocation.parse(str(data))) as dataset:
                trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress(), conduct)
                epochs = trainer.run(Limits()).epochs
            side.add(threads, [epoch.samples / epoch.duration_s for epoch in epochs][1:])

    def _bare_round(self, case: Case, workload: Workload, paths: list[Path], side: Side) -> None:
        if case.bare is None:
            return
        samples = workload.reader.batch_size * (workload.reader.prefetch_size + 1)
        per_file = workload.dataset.num_samples_per_file
        sample_bytes = int(workload.dataset.record_length_bytes)
        buffers = bare_loops.Buffers(paths, max(1, samples // per_file), sample_bytes)
        for threads in case.bare_threads or THREADS:
            try:
                seconds = [case.bare(buffers, threads) for _ in range(EPOCHS)]
            except FileNotFoundError:  # fio is not installed
                return
            side.add(threads, [workload.total_samples / each for each in seconds][1:])


HEAD = (
    "| case | ours, samples/s (threads) | wheel | ours / wheel | wheel without its debug line "
    "| ours / that | bare loop | ours / bare loop |\n|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure the chosen cases and print their rows as they are done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--case", default="", help="only the rows whose name has this text")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--folder", type=Path, help="where data go; a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        bench = Bench(Path(folder), 1 if args.quick else ROUNDS)
        cases = [case for case in CASES if args.case in case.name]
        if cases:
            print(HEAD)
        for case in cases:
            print(bench.throughput(case), flush=True)
        for name, measure in WHOLE_RUNS.items():
            if args.case in name:
                print(f"\n{name}: {measure(Path(folder), bench.peer, bench.rounds)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
