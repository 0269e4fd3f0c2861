"""Several runs' values of one figure: mean, spread, and what a difference of means is worth.

Two means differ for sure when their distance exceeds the half-width of the 95 % confidence interval
of their difference: Welch's t-test with the Welch-Satterthwaite degrees of freedom (B. L. Welch,
Biometrika 34, 1947). Where one side is a single run, the other side's spread stands for both.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom."""


@dataclass(frozen=True)
class Samples:
    """The values of one figure in one or more runs.

    Attributes
    ----------
    count : int
    mean : float
    stdev : float or None
        The sample standard deviation (of n - 1); None for a single value.
    """

    count: int
    mean: float
    stdev: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Samples:
        """Return what `values`, of which there is at least one, amount to."""
        stdev = statistics.stdev(values) if len(values) > 1 else None
        return cls(len(values), statistics.fmean(values), stdev)


def uncertainty(a: Samples, b: Samples) -> float | None:
    """Return the half-width of the 95 % interval of ``b.mean - a.mean``; None: not known."""
    if a.stdev is None and b.stdev is None:
        return None
    if a.stdev is None or b.stdev is None:
        known = a if b.stdev is None else b
        error = (known.stdev or 0.0) * math.sqrt(1 / a.count + 1 / b.count)
        return error * _t_975(known.count - 1)
    a_part, b_part = a.stdev**2 / a.count, b.stdev**2 / b.count
    if a_part + b_part == 0:
        return 0.0
    share = a_part / (a_part + b_part)  # whose squares are numbers, however small the spread is
    freedom = 1 / (share**2 / (a.count - 1) + (1 - share) ** 2 / (b.count - 1))
    return math.sqrt(a_part + b_part) * _t_975(int(freedom))


def _t_975(freedom: int) -> float:
    """Return the quantile, rounded up to that of the degrees below where the table has a gap."""
    if freedom <= len(_T_975):
        return _T_975[max(freedom, 1) - 1]
    return 2.042 if freedom < 60 else 2.0 if freedom < 120 else 1.98
