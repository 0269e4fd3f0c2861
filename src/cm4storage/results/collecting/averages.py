"""Mean and deviation of numbers that others wrote, which may be as large as numbers can be."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEYOND = "its inputs are too large or too small to compute with"


def mean(values: Sequence[float]) -> float:
    """Return the mean of some numbers, as ``numpy.mean``; infinity where it cannot be computed."""
    return _finite(statistics.fmean, values)


def deviation(values: Sequence[float]) -> float:
    """Return the deviation of all, as ``numpy.std``; infinity where it cannot be computed."""
    return _finite(statistics.pstdev, values)


def _finite(of: Callable[[Sequence[float]], float], values: Sequence[float]) -> float:
    try:
        return of(values) if all(map(math.isfinite, values)) else math.inf
    except OverflowError:
        return math.inf
