"""The epochs of a run, and its ranks, beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cm4storage.results.figures import RunFigures
    from cm4storage.results.metrics import EpochMetrics
    from cm4storage.results.records import EpochRecord

MOST_ROWS = 400


@dataclass(frozen=True)
class Row:
    """An epoch of a rank, or an evaluation.

    Attributes
    ----------
    rank : int
    record : EpochRecord
    metrics : EpochMetrics
    au_percent : float or None
    against_mean_percent : float or None
        By how much its throughput is above the mean of all.
    computing_percent, waiting_percent : float
        Shares of the epoch's duration.
    longest_wait_s : float or None
    """

    rank: int
    record: EpochRecord
    metrics: EpochMetrics
    au_percent: float | None
    against_mean_percent: float | None
    computing_percent: float
    waiting_percent: float
    longest_wait_s: float | None


def training_rows(figures: RunFigures) -> list[Row]:
    """Return the epochs of the training."""
    mean = figures.samples_per_s.mean
    return _rows(figures.record.epochs, figures.epochs, mean)


def evaluation_rows(figures: RunFigures) -> list[Row]:
    """Return the evaluations."""
    rates = [each.samples_per_s for each in figures.evaluations if each.samples_per_s is not None]
    mean = sum(rates) / len(rates) if rates else None
    return _rows(figures.record.evaluations, figures.evaluations, mean)


def _rows(
    records: list[EpochRecord], metrics: list[EpochMetrics], mean_rate: float | None
) -> list[Row]:
    return [_row(*pair, mean_rate) for pair in zip(records, metrics, strict=True)]


def _row(record: EpochRecord, metrics: EpochMetrics, mean_rate: float | None) -> Row:
    au, rate, duration_s = metrics.au_fraction, metrics.samples_per_s, record.duration_s
    return Row(
        rank=0,
        record=record,
        metrics=metrics,
        au_percent=None if au is None else au * 100,
        against_mean_percent=(rate / mean_rate - 1) * 100 if rate and mean_rate else None,
        computing_percent=_share(record.compute_s, duration_s),
        waiting_percent=_share(record.wait_s, duration_s),
        longest_wait_s=max(record.wait_s, default=None),
    )


def _share(durations_s: list[float], whole_s: float) -> float:
    """Return in percent how much of the whole `durations_s` are."""
    return round(min(100.0, sum(durations_s) / whole_s * 100), 2) if whole_s > 0 else 0.0
