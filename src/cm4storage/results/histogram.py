"""Log-linear histograms of durations: 32 bins for each power of two, at most 1.6 % off."""

from __future__ import annotations

import math
from typing import Any

_BINS_PER_OCTAVE = 32
_ZERO_BIN = -(10**6)  # below the bin of every positive double
_SORTED_AT_ONCE = 4096


class Histogram:
    """Counts durations in seconds; merging two gives the histogram of all their values.

    A duration that is added is only noted; some thousands at a time are sorted into bins, which
    costs a tenth of what doing it one by one does. One thread may add at a time.
    """

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._count = 0
        self._total_s = 0.0
        self._max_s = 0.0
        self._noted: list[float] = []

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        self._noted.append(duration_s)
        if len(self._noted) >= _SORTED_AT_ONCE:
            self._sort()

    def add_many(self, duration_s: float, times: int) -> None:
        """Count one duration several times."""
        self._noted += [duration_s] * times
        if len(self._noted) >= _SORTED_AT_ONCE:
            self._sort()

    def merge(self, other: Histogram) -> None:
        """Count everything that `other` has counted."""
        self._sort()
        self._count_bins(other.bins)
        self._count += other.count
        self._total_s += other.total_s
        self._max_s = max(self._max_s, other.max_s)

    @property
    def bins(self) -> dict[int, int]:
        """How many durations are in which bin."""
        self._sort()
        return self._bins

    @property
    def count(self) -> int:
        """How many durations were counted."""
        self._sort()
        return self._count

    @property
    def count_so_far(self) -> int:
        """The same, for another thread while one adds."""
        return self._count + len(self._noted)

    @property
    def total_s(self) -> float:
        """Their sum."""
        self._sort()
        return self._total_s

    @property
    def max_s(self) -> float:
        """The longest."""
        self._sort()
        return self._max_s

    def _count_bins(self, bins: dict[int, int]) -> None:
        for index, count in bins.items():
            self._bins[index] = self._bins.get(index, 0) + count

    def _sort(self) -> None:
        if not self._noted:
            return
        import numpy as np

        values = np.array(self._noted)
        self._noted, self._count = [], self._count + values.size
        mantissas, exponents = np.frexp(values)
        steps = ((mantissas - 0.5) * (2 * _BINS_PER_OCTAVE)).astype(np.int64)
        indices = np.where(values > 0, exponents * _BINS_PER_OCTAVE + steps, _ZERO_BIN)
        found, counts = np.unique(indices, return_counts=True)
        self._count_bins(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        self._total_s += math.fsum(values)
        self._max_s = max(self._max_s, float(values.max()))

    def percentile_s(self, percent: float) -> float | None:
        """Return the middle of the bin that holds the nearest-rank percentile; None if empty."""
        if self.count == 0:
            return None
        # In whole numbers: 99.9 / 100 * 1000 is a little more than 999.
        rank, seen = max(1, -(-self.count * round(percent * 1000) // 100_000)), 0
        for index in sorted(self.bins):
            seen += self.bins[index]
            if seen >= rank:
                return min(_middle_s(index), self.max_s)
        return self.max_s

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values; `from_json` is its inverse."""
        return {
            "bins": {str(index): count for index, count in sorted(self.bins.items())},
            "count": self.count,
            "total_s": self.total_s,
            "max_s": self.max_s,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Histogram:
        """Return the histogram that `to_json` described."""
        histogram = cls()
        histogram._bins = {int(index): int(count) for index, count in document["bins"].items()}
        histogram._count = int(document["count"])
        histogram._total_s = float(document["total_s"])
        histogram._max_s = float(document["max_s"])
        return histogram


def bounds_s(index: int) -> tuple[float, float]:
    """Return between which durations a bin lies; both are 0 for the bin of those that took none."""
    if index == _ZERO_BIN:
        return 0.0, 0.0
    return _edge_s(index), _edge_s(index + 1)


def _edge_s(index: int) -> float:
    exponent, step = divmod(index, _BINS_PER_OCTAVE)
    return math.ldexp(0.5 + step / (2 * _BINS_PER_OCTAVE), exponent)


def _middle_s(index: int) -> float:
    if index == _ZERO_BIN:
        return 0.0
    exponent, step = divmod(index, _BINS_PER_OCTAVE)
    return math.ldexp(0.5 + (step + 0.5) / (2 * _BINS_PER_OCTAVE), exponent)
