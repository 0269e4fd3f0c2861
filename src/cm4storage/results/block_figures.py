"""The figures of DLIO's own files: of each block, and of each epoch as the mean over its blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cm4storage.results import blocks
from cm4storage.results.metrics import EpochMetrics, of_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    @property
    def au_percent(self) -> float:
        """Accelerator utilization; 0 where no step is measured, as in DLIO."""
        return (self.metrics.au_fraction or 0.0) * 100

    @property
    def samples_per_s(self) -> float:
        """Throughput; 0 where no step is measured, as in DLIO."""
        return self.metrics.samples_per_s or 0.0


def blocks_of(
    figures: RunFigures, epoch: EpochRecord, metrics: EpochMetrics
) -> list[MeasuredBlock]:
    """Return the blocks of an epoch, whose own figures are `metrics`."""
    parts = blocks.of_epoch(figures.record, epoch)
    if len(parts) == 1:
        return [MeasuredBlock(parts[0].name, epoch, metrics)]
    workload = figures.workload
    return [MeasuredBlock(each.name, each.steps, of_epoch(each.steps, workload)) for each in parts]


def epochs_of(figures: RunFigures) -> list[EpochMetrics]:
    """Return the figures of each epoch as means over its blocks, weighted with their steps.

    Source: ``end_train`` of ``utils/statscounter.py``.
    """
    found = []
    for epoch, metrics in zip(figures.record.epochs, figures.epochs, strict=True):
        parts = blocks_of(figures, epoch, metrics)
        counts = [len(each.steps.compute_s) for each in parts]
        au_percent = _weighted((each.au_percent for each in parts), counts)
        rate = _weighted((each.samples_per_s for each in parts), counts)
        found.append(replace(metrics, au_fraction=au_percent / 100, samples_per_s=rate))
    return found


def _weighted(values: Iterable[float], weights: list[int]) -> float:
    total = sum(value * weight for value, weight in zip(values, weights, strict=True))
    return total / sum(weights) if any(weights) else 0.0
