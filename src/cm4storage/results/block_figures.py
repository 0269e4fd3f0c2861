"""The figures of DLIO's own files: of each block, and of each epoch as the mean over its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.results import blocks
from cm4storage.results.metrics import EpochMetrics, Spread, of_epoch

if TYPE_CHECKING:
    from cm4storage.results.figures import RunFigures
    from cm4storage.results.records import EpochRecord


@dataclass(frozen=True)
class MeasuredBlock:
    """One block of an epoch with its figures.

    Attributes
    ----------
    name : str
        ``block1``, ``block2``, ...
    steps : EpochRecord
        Of these steps alone.
    metrics : EpochMetrics
    """

    name: str
    steps: EpochRecord
    metrics: EpochMetrics


def blocks_of(
    figures: RunFigures, epoch: EpochRecord, metrics: EpochMetrics
) -> list[MeasuredBlock]:
    """Return the blocks of an epoch, whose own figures are `metrics`."""
    parts = blocks.of_epoch(figures.record, epoch)
    if len(parts) == 1:
        return [MeasuredBlock(parts[0].name, epoch, metrics)]
    workload = figures.workload
    return [MeasuredBlock(each.name, each.steps, of_epoch(each.steps, workload)) for each in parts]


@dataclass(frozen=True)
class DlioFigures:
    """The figures of ``summary.json``.

    Attributes
    ----------
    au_fraction, samples_per_s : list of float or None
        Of each epoch.
    """

    au_fraction: list[float | None]
    samples_per_s: list[float | None]
    au_threshold: float

    @property
    def au_spread(self) -> Spread:
        """Accelerator utilization over the epochs, 0 to 1."""
        return Spread.of(self.au_fraction)

    @property
    def rate_spread(self) -> Spread:
        """Samples in a second over the epochs."""
        return Spread.of(self.samples_per_s)

    @property
    def meets_expectation(self) -> bool:
        """Whether the mean AU reaches the workload's threshold."""
        mean = self.au_spread.mean
        return mean is not None and mean >= self.au_threshold


def of_dlio(figures: RunFigures) -> DlioFigures:
    """Return the figures of each epoch as the mean over its blocks, weighted with their steps.

    Source: ``end_train`` of ``utils/statscounter.py``. A block in which no step is measured, such
    as one of a single step, has no figure and is left out; DLIO counts it as 0.
    """
    au, rate = [], []
    for epoch, metrics in zip(figures.record.epochs, figures.epochs, strict=True):
        parts = blocks_of(figures, epoch, metrics)
        au.append(_weighted([(len(b.steps.compute_s), b.metrics.au_fraction) for b in parts]))
        rate.append(_weighted([(len(b.steps.compute_s), b.metrics.samples_per_s) for b in parts]))
    return DlioFigures(au, rate, figures.workload.au_threshold)


def _weighted(values: list[tuple[int, float | None]]) -> float | None:
    known = [(steps, value) for steps, value in values if value is not None]
    total = sum(steps for steps, _ in known)
    return sum(steps * value for steps, value in known) / total if total else None
