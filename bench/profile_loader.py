"""Where the time of one npz run goes: a profile of its one reader thread.

Run: ``python bench/profile_loader.py [PARAMS]``, with overrides as in ``--params``. Prints the
functions that take the most time of their own, with their share of the reader's busy time; waiting
for a free slot of the ring is left out of that. A profiler makes Python's calls dearer than they
are, so the shares of system calls and checksums are rather too small.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
from typing import Any

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.pipeline import EpochReaders
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

PARAMS = (
    "dataset.num_files_train=64 dataset.record_length_bytes=8388608 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=2097152 "
    "reader.batch_size=4 reader.read_threads=1 train.computation_time=0 train.epochs=5"
)
SHOWN = 12


class ProfiledReaders(EpochReaders):
    """Readers whose threads run under a profiler."""

    profile = cProfile.Profile()

    def _run(self, *args: Any) -> None:
        self.profile.runcall(super()._run, *args)


def main() -> None:
    """Run the workload twice, the second time under the profiler."""
    workload = resolve(Request(params=" ".join([PARAMS, *sys.argv[1:]]))).workload
    with tempfile.TemporaryDirectory() as folder:
        root = StoreLocation.parse(folder)
        prepare(workload, root, NoProgress(), lambda _line: None)
        with open_dataset(workload, root) as dataset:
            trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
            plain = trainer.run(Limits())
            profile_readers(trainer)
    epoch_s = min(epoch.duration_s for epoch in plain.epochs)
    print(f"without the profiler: {workload.total_samples / epoch_s:,.0f} samples/s (best epoch)")
    print(f"  read   {plain.counters.io.total_s:.3f} s in all epochs")
    print(f"  decode {plain.counters.decode.total_s:.3f} s\n")
    show(pstats.Stats(ProfiledReaders.profile))


def profile_readers(trainer: Trainer) -> None:
    """Run with profiled readers."""
    from cm4storage.loader import phase

    original, phase.EpochReaders = phase.EpochReaders, ProfiledReaders
    try:
        trainer.run(Limits())
    finally:
        phase.EpochReaders = original


def show(stats: pstats.Stats) -> None:
    """Print the functions that take the most time."""
    rows = []
    for (file, line, name), (_, calls, own_s, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        if "acquire" not in name:
            where = f"{name}" if file == "~" else f"{file.rpartition('/')[2]}:{line} {name}"
            rows.append((own_s, calls, where))
    busy_s = sum(own_s for own_s, _, _ in rows)
    print(f"under the profiler: {busy_s:.3f} s busy")
    for own_s, calls, where in sorted(rows, reverse=True)[:SHOWN]:
        print(f"  {own_s / busy_s:6.1%}  {own_s / calls * 1e6:9.2f} us x {calls:<6}  {where}")


if __name__ == "__main__":
    main()
