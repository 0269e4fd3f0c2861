"""Accelerator utilization and throughput.

Variant "v3.0", MLPerf Storage v3.0 (``utils/statscounter.py`` of mlcommons/DLIO_local_changes
3.0.2), for an epoch of n steps with a = exclude_start_steps and b = exclude_end_steps::

    total_time = duration - plugins - sum(proc[:a]) - sum(proc[n-b:])   proc = wait + compute
    AU         = sum(compute[a:n-b]) / total_time
    throughput = len(compute[a:n-b]) / total_time * batch_size

An evaluation has the same AU, and throughput = len(compute) / duration * batch_size_eval.

What plugins take, such as checkpoints, is in no figure: DLIO ends its block before a checkpoint and
begins another after it. Here the window of steps is that of the whole epoch; DLIO applies it to
each block anew, as its own files here do (`cm4storage.results.block_figures`).

An epoch whose window has no step has no figure: None, never 0.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.results.records import EpochRecord
    from cm4storage.workload.model import Workload

FORMULA_VARIANT = "v3.0"


@dataclass(frozen=True)
class EpochMetrics:
    """The figures of one epoch.

    Attributes
    ----------
    au_fraction : float or None
        Share of the time in which the accelerator computes, 0 to 1.
    samples_per_s : float or None
    read_mib_per_s : float or None
        Bytes that really came from storage over the epoch's duration, in MiB/s; None where that
        is no time at all.
    measured_steps : int
        Steps that the formula takes in.
    """

    au_fraction: float | None
    samples_per_s: float | None
    read_mib_per_s: float | None
    measured_steps: int


@dataclass(frozen=True)
class Spread:
    """Mean and population standard deviation, as ``numpy.mean`` and ``numpy.std`` give them."""

    mean: float | None
    stdev: float | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread:
        """Return the spread of the values that exist."""
        known = [value for value in values if value is not None]
        if not known:
            return cls(None, None)
        return cls(statistics.fmean(known), statistics.pstdev(known))


def of_epoch(epoch: EpochRecord, workload: Workload) -> EpochMetrics:
    """Return the figures of `epoch` in the variant `FORMULA_VARIANT`."""
    skip_start = workload.output.exclude_start_steps
    steps = len(epoch.compute_s)
    stop = steps - workload.output.exclude_end_steps
    process_s = epoch.process_s
    total_s = epoch.loading_s - sum(process_s[:skip_start]) - sum(process_s[max(0, stop) :])
    window = epoch.compute_s[skip_start : max(0, stop)]
    rate = _per_second(epoch.bytes_read / 2**20, epoch)
    if not window or total_s <= 0:
        return EpochMetrics(None, None, rate, len(window))
    throughput = len(window) / total_s * workload.reader.batch_size
    return EpochMetrics(sum(window) / total_s, throughput, rate, len(window))


def of_evaluation(epoch: EpochRecord, workload: Workload) -> EpochMetrics:
    """Return the figures of an evaluation in the variant `FORMULA_VARIANT`."""
    metrics = of_epoch(epoch, workload)
    samples = len(epoch.compute_s) * workload.reader.batch_size_eval
    return replace(metrics, samples_per_s=_per_second(samples, epoch))


def _per_second(amount: float, epoch: EpochRecord) -> float | None:
    return amount / epoch.loading_s if epoch.loading_s > 0 else None
