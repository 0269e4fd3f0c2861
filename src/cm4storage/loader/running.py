"""Run a workload: epochs of steps, each a batch waited for and an emulated computation."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from cm4storage.core.waiting import pause
from cm4storage.loader.caching import CachedFiles
from cm4storage.loader.data_files import DataFiles
from cm4storage.loader.file_reader import ReadCounters
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.order import RunOrder
from cm4storage.loader.pipeline import EpochReaders, Reading
from cm4storage.loader.preprocessing import Preprocessing
from cm4storage.loader.slots import make_slots
from cm4storage.results.records import EpochRecord
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from cm4storage.core.progress import Progress
    from cm4storage.loader.order import EpochOrder
    from cm4storage.loader.slots import BatchSlots
    from cm4storage.ranks.communicator import Communicator
    from cm4storage.storage.store import Store
    from cm4storage.workload.distributions import Distribution
    from cm4storage.workload.model import Workload

FIRST_IDS = 10


@dataclass(frozen=True)
class Outcome:
    """What `Trainer.run` returns.

    Attributes
    ----------
    epochs, evaluations : list of EpochRecord
        The latter with the number of the epoch that they follow.
    counters : ReadCounters
        What the readers counted in all epochs.
    order_digest : str
        Of the first epoch.
    first_sample_ids : list of int
    """

    epochs: list[EpochRecord]
    evaluations: list[EpochRecord]
    counters: ReadCounters
    order_digest: str
    first_sample_ids: list[int]


@dataclass
class _StepTimes:
    """Seconds of each step of an epoch."""

    wait_s: list[float] = field(default_factory=list)
    compute_s: list[float] = field(default_factory=list)
    barrier_s: list[float] = field(default_factory=list)


class Phase:
    """The epochs of one split: training, or evaluation."""

    def __init__(
        self,
        workload: Workload,
        store: Store,
        ranks: Communicator,
        split: Split,
        conduct: Conduct,
    ) -> None:
        self._workload = workload
        self._ranks = ranks
        self._split = split
        self._conduct = conduct
        self.order = RunOrder(workload, split=split)
        files = DataFiles(workload, split)
        self._cache = CachedFiles.of(store, files)
        self._reading = Reading(
            workload,
            files,
            store,
            make_slots(workload, split),
            Preprocessing(workload),
            conduct.on_error,
        )
        self.counters = ReadCounters()

    def run(self, number: int, steps: int, progress: Progress) -> EpochRecord:
        """Run one epoch of `steps` steps.

        Raises
        ------
        StorageFault
            If a file cannot be read or is damaged.
        """
        durations_s = self._durations(number, steps)
        order: EpochOrder = self.order.epoch(number)
        if self._conduct.is_cold:
            self._cache.evict()
        resident_before = self._cache.resident_fraction()
        start, begin = _now(), time.perf_counter()
        with EpochReaders(self._reading, order, steps, number) as readers:
            times = self._steps(durations_s, self._reading.slots, progress)
            end, duration_s = _now(), time.perf_counter() - begin
        counters = readers.counters()
        self.counters.merge(counters)
        return EpochRecord(
            number=number,
            start=start,
            end=end,
            duration_s=duration_s,
            wait_s=times.wait_s,
            compute_s=times.compute_s,
            barrier_s=times.barrier_s or None,
            bytes_read=counters.bytes_read,
            samples=steps * self._reading.slots.batch_size,
            skipped_files=counters.skipped_files,
            resident_before=resident_before,
            resident_after=self._cache.resident_fraction(),
        )

    def _steps(self, durations_s: list[float], slots: BatchSlots, progress: Progress) -> _StepTimes:
        times, clock = _StepTimes(), time.perf_counter
        for step, duration_s in enumerate(durations_s):
            begin = clock()
            slots.take(step)
            received = clock()
            pause(duration_s)
            computed = clock()
            slots.release(step)
            waited_s = self._ranks.barrier()
            if waited_s is not None:
                times.barrier_s.append(waited_s)
            times.wait_s.append(received - begin)
            times.compute_s.append(computed - received)
            progress.advance(1)
        return times

    def _durations(self, number: int, steps: int) -> list[float]:
        generator = np.random.default_rng(self._workload.train.seed + number)
        return self._computation.draw_many(generator, steps)

    @property
    def _computation(self) -> Distribution:
        is_training = self._split is Split.TRAIN
        return self._workload.computation_time if is_training else self._workload.eval_time


class Trainer:
    """Runs the epochs of one rank."""

    def __init__(
        self,
        workload: Workload,
        store: Store,
        ranks: Communicator,
        progress: Progress,
        conduct: Conduct | None = None,
    ) -> None:
        self._workload = workload
        self._store = store
        self._ranks = ranks
        self._progress = progress
        self._conduct = conduct or Conduct()

    def run(self, limits: Limits) -> Outcome:
        """Run all epochs.

        Raises
        ------
        StorageFault
            If a file cannot be read or is damaged.
        """
        epochs = limits.epochs(self._workload.train.epochs)
        steps = limits.steps(self._workload.steps_per_epoch(self._ranks.size))
        eval_steps = limits.steps(self._workload.eval_steps(self._ranks.size))
        evaluated = [n for n in range(1, epochs + 1) if self._workload.is_evaluated_after(n)]
        training = self._phase(Split.TRAIN)
        evaluation = self._phase(Split.EVAL) if evaluated and eval_steps else None
        total_steps = epochs * steps + (len(evaluated) * eval_steps if evaluation else 0)
        self._progress.start("training", total_steps, "step")
        records: list[EpochRecord] = []
        evaluations: list[EpochRecord] = []
        try:
            for number in range(1, epochs + 1):
                records.append(training.run(number, steps, self._progress))
                if evaluation is not None and number in evaluated:
                    evaluations.append(evaluation.run(number, eval_steps, self._progress))
        finally:
            self._progress.finish()
        return self._outcome(training, records, evaluation, evaluations)

    def _phase(self, split: Split) -> Phase:
        return Phase(self._workload, self._store, self._ranks, split, self._conduct)

    def _outcome(
        self,
        training: Phase,
        records: list[EpochRecord],
        evaluation: Phase | None,
        evaluations: list[EpochRecord],
    ) -> Outcome:
        counters = training.counters
        if evaluation is not None:
            counters.merge(evaluation.counters)
        first = training.order.epoch(1)
        ids = list(islice(first.ids(self._workload.total_samples), FIRST_IDS))
        return Outcome(records, evaluations, counters, first.digest(), ids)


def _now() -> str:
    return datetime.now().astimezone().replace(tzinfo=None).isoformat(timespec="microseconds")
