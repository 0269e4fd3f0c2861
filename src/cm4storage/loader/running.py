"""Run a workload: epochs of steps, each a batch waited for and an emulated computation."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass
from cm4storage.core.units import format_count, format_seconds
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.phase import Phase
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.sampling import Counts
from cm4storage.plugins.lifecycle import NO_PLUGINS, Lifecycle
from cm4storage.results.orders import over_epochs
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cm4storage.core.progress import Progress
    from cm4storage.loader.file_reader import ReadCounters
    from cm4storage.loader.order import EpochOrder
    from cm4storage.loader.sampling import StepTimes
    from cm4storage.ranks.communicator import Communicator
    from cm4storage.results.records import EpochRecord
    from cm4storage.storage.store import Store
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
        What the readers counted in all epochs of the training; the faults of evaluations are in it.
    order_digest : str or None
        Over all epochs of the training; None where a loader of the user's orders.
    first_sample_ids : list of int
    order : callable
        From the number of an epoch to its order.
    """

    epochs: list[EpochRecord]
    evaluations: list[EpochRecord]
    counters: ReadCounters
    order_digest: str | None
    first_sample_ids: list[int]
    order: Callable[[int], EpochOrder]


class Trainer:
    """Runs the epochs of one rank."""

    def __init__(
        self,
        workload: Workload,
        store: Store,
        ranks: Communicator,
        progress: Progress,
        conduct: Conduct | None = None,
        plugins: Plugins | None = None,
        lifecycle: Lifecycle = NO_PLUGINS,
    ) -> None:
        self._workload = workload
        self._store = store
        self._ranks = ranks
        self._progress = progress
        self._phases: list[Phase] = []
        self._lifecycle = lifecycle
        self._conduct = conduct or Conduct()
        self._plugins = (plugins or Plugins()).completed(workload)
        if self._conduct.records_order and self._plugins.loader is not None:
            raise UserError(
                "the order of the user's loader is not known, and cannot be recorded",
                where="--record_order",
                advice="leave it out, or let the loader write down what it reads",
            )

    @property
    def epochs_so_far(self) -> Sequence[StepTimes]:
        """The steps of each epoch of the training; the last one grows."""
        return self._phases[0].epochs_so_far if self._phases else ()

    def counts(self) -> Counts:
        """Return what was done so far; may be called from another thread."""
        total = Counts(retries=self._store.retries)
        for phase in tuple(self._phases):
            total = total.plus(phase.counts())
        return total

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
        self._phases = [training, *([evaluation] if evaluation else [])]
        total_steps = epochs * steps + (len(evaluated) * eval_steps if evaluation else 0)
        records: list[EpochRecord] = []
        evaluations: list[EpochRecord] = []
        with contextlib.ExitStack() as stack:
            self._progress.start("training", total_steps, "step")
            stack.callback(self._progress.finish)
            for phase in self._phases:
                stack.callback(phase.close)
            for number in range(1, epochs + 1):
                records.append(self._epoch(training, number, steps))
                if evaluation is not None and number in evaluated:
                    evaluations.append(evaluation.run(number, eval_steps, self._progress))
                    outline = _outline(evaluations[-1], self._workload)
                    self._progress.tell(f"evaluation after epoch {number}: {outline}")
        return self._outcome(training, records, evaluation, evaluations)

    def _epoch(self, training: Phase, number: int, steps: int) -> EpochRecord:
        before, after = self._lifecycle.before_epoch, self._lifecycle.after_epoch
        if before is not None:
            before(number)
        record = training.run(number, steps, self._progress)
        if after is not None:
            after(number)
        self._progress.tell(f"epoch {number}: {_outline(record, self._workload)}")
        return record

    def _phase(self, split: Split) -> Phase:
        common = self._workload, self._store, self._ranks, split, self._conduct
        if split is Split.TRAIN:
            return Phase(*common, self._plugins, self._lifecycle)
        # What is the user's own trains; an evaluation reads as we do, with the user's reader.
        return Phase(*common, Plugins(reader=self._plugins.reader))

    def _outcome(
        self,
        training: Phase,
        records: list[EpochRecord],
        evaluation: Phase | None,
        evaluations: list[EpochRecord],
    ) -> Outcome:
        counters = training.counters
        if evaluation is not None:
            counters.add_faults(evaluation.counters.faults)
            evaluations = _with_orders(evaluations, evaluation)
        if self._plugins.loader is not None:
            return Outcome(records, evaluations, counters, None, [], training.order)
        ids = list(islice(training.order(1).ids(self._workload.total_samples), FIRST_IDS))
        records = _with_orders(records, training)
        digest = over_epochs([each.order_digest for each in records])
        return Outcome(records, evaluations, counters, digest, ids, training.order)


def _with_orders(records: list[EpochRecord], phase: Phase) -> list[EpochRecord]:
    """Return the records with the digest of the order of each.

    They are made after the run, so that none of it lies between two epochs, and each of an order
    of its own, since a sampler may give an iterator.
    """
    return [replace(each, order_digest=phase.order(each.number).digest()) for each in records]


def _outline(record: EpochRecord, workload: Workload) -> str:
    """Return what an epoch has given in a few words, for who follows the run."""
    import numpy as np

    from cm4storage.results.metrics import of_epoch  # not above: a run is to begin soon

    figures, steps = of_epoch(record, workload), len(record.wait_s)
    au, rate = figures.au_fraction, figures.read_mib_per_s
    parts = [
        f"{format_count(steps, 'step')} in {format_seconds(record.duration_s)}",
        "" if au is None else f"AU {au * 100:.1f} %",
        "" if rate is None else f"{rate:,.1f} MiB/s",
    ]
    if steps:
        p99_s = float(np.percentile(record.wait_s, 99, method="inverted_cdf"))
        parts.append(f"wait P99 {format_seconds(p99_s)}")
    parts.append(format_count(record.skipped_files, "error"))
    return ", ".join(filter(None, parts))
