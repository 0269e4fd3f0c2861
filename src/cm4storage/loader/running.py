"""Run a workload: epochs of steps, each a batch waited for and an emulated computation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from cm4storage.core.waiting import pause
from cm4storage.loader.file_reader import ReadCounters
from cm4storage.loader.order import RunOrder
from cm4storage.loader.pipeline import BatchSlots, EpochReaders, make_slots
from cm4storage.results.records import EpochRecord

if TYPE_CHECKING:
    from cm4storage.core.progress import Progress
    from cm4storage.loader.limits import Limits
    from cm4storage.ranks.communicator import Communicator
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


@dataclass(frozen=True)
class Outcome:
    """What `run` returns: the epochs, what the readers counted, and the order of epoch 1."""

    epochs: list[EpochRecord]
    counters: ReadCounters
    order_digest: str
    first_sample_ids: list[int]


FIRST_IDS = 10


class Trainer:
    """Runs the epochs of one rank."""

    def __init__(
        self, workload: Workload, store: Store, ranks: Communicator, progress: Progress
    ) -> None:
        self._workload = workload
        self._store = store
        self._ranks = ranks
        self._progress = progress
        self._order = RunOrder(workload)
        self._counters = ReadCounters()

    def run(self, limits: Limits) -> Outcome:
        """Run all epochs.

        Raises
        ------
        StorageFault
            If a file cannot be read or is damaged.
        """
        epochs = limits.epochs(self._workload.train.epochs)
        steps = limits.steps(self._workload.steps_per_epoch(self._ranks.size))
        slots = make_slots(self._workload)
        self._progress.start("training", epochs * steps, "step")
        try:
            records = [self._epoch(number, steps, slots) for number in range(1, epochs + 1)]
        finally:
            self._progress.finish()
        first = self._order.epoch(1)
        return Outcome(records, self._counters, first.digest(), first.sample_ids(FIRST_IDS))

    def _epoch(self, number: int, steps: int, slots: BatchSlots) -> EpochRecord:
        seed = self._workload.train.seed + number
        durations_s = self._draw_computation(steps, seed)
        order = self._order.epoch(number)
        start, begin = _now(), time.perf_counter()
        with EpochReaders(self._workload, self._store, order, slots, steps) as readers:
            wait_s, compute_s, barrier_s = self._steps(durations_s, slots)
            end, duration_s = _now(), time.perf_counter() - begin
        counters = readers.counters()
        self._counters.merge(counters)
        return EpochRecord(
            number=number,
            start=start,
            end=end,
            duration_s=duration_s,
            wait_s=wait_s,
            compute_s=compute_s,
            barrier_s=barrier_s,
            bytes_read=counters.bytes_read,
            samples=steps * self._workload.reader.batch_size,
        )

    def _steps(
        self, durations_s: list[float], slots: BatchSlots
    ) -> tuple[list[float], list[float], list[float] | None]:
        wait_s, compute_s, barrier_s = [], [], []
        clock = time.perf_counter
        for step, duration_s in enumerate(durations_s):
            begin = clock()
            slots.take(step)
            received = clock()
            pause(duration_s)
            computed = clock()
            slots.release(step)
            barrier_s.append(self._ranks.barrier())
            wait_s.append(received - begin)
            compute_s.append(computed - received)
            self._progress.advance(1)
        waited = [seconds for seconds in barrier_s if seconds is not None]
        return wait_s, compute_s, waited or None

    def _draw_computation(self, steps: int, seed: int) -> list[float]:
        generator = np.random.default_rng(seed)
        return [self._workload.computation_time.draw(generator) for _ in range(steps)]


def _now() -> str:
    return datetime.now().astimezone().replace(tzinfo=None).isoformat(timespec="microseconds")
