"""What the time series costs: a run of the loader with its sampler and without, in turn.

Run: ``python bench/sampling.py [ROUNDS]``. Prints the processor time of each kind of run, and that
of one sample, measured in the sampler's thread.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.loader.sampling import Sampler, sampled
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from cm4storage.results.time_series import Sample
    from cm4storage.workload.model import Workload

ROUNDS = 6
PARAMS = (
    "dataset.num_files_train=4000 dataset.record_length_bytes=4096 reader.batch_size=4 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 "
    "train.computation_time=0 train.epochs=8 reader.read_threads=2"
)


class Timed(Sampler):
    """Notes the processor time of each sample."""

    spent_s: list[float] = []  # noqa: RUF012 - of all samplers together

    def sample(self) -> Sample:
        """Return a sample."""
        begin_s = time.thread_time()
        sample = super().sample()
        self.spent_s.append(time.thread_time() - begin_s)
        return sample


def run_once(workload: Workload, root: StoreLocation, *, with_sampler: bool) -> float:
    """Return the processor time of a run."""
    with open_dataset(workload, root) as dataset, contextlib.ExitStack() as stack:
        trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
        begin_s = time.process_time()
        if with_sampler:
            series = stack.enter_context(Path(os.devnull).open("w", encoding="ascii"))
            stack.enter_context(sampled(Timed(trainer, 1), NoProgress(), series))
        trainer.run(Limits())
        return time.process_time() - begin_s


def main(rounds: int) -> None:
    """Run both kinds in turn."""
    workload = resolve(Request(params=PARAMS)).workload
    with tempfile.TemporaryDirectory() as folder:
        root = StoreLocation.parse(folder)
        prepare(workload, root, NoProgress(), lambda _line: None)
        run_once(workload, root, with_sampler=False)
        spent_s: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * rounds):
            kind = number % 4 in (1, 2)
            spent_s[kind].append(run_once(workload, root, with_sampler=kind))
    for kind, name in ((False, "without"), (True, "with")):
        each = spent_s[kind]
        print(f"{name:8} {statistics.median(each):.3f} s ({min(each):.3f} .. {max(each):.3f})")
    samples_ms = [each * 1e3 for each in Timed.spent_s]
    print(f"a sample {statistics.median(samples_ms):.2f} ms ({max(samples_ms):.2f} at most)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
