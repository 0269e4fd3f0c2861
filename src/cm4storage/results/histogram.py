"""Log-linear histograms of durations: 32 bins for each power of two, at most 1.6 % off."""

from __future__ import annotations

import math
from typing import Any

_BINS_PER_OCTAVE = 32
_ZERO_BIN = -(10**6)  # below the bin of every positive double


class Histogram:
    """Counts durations in seconds; merging two gives the histogram of all their values."""

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.count = 0
        self.total_s = 0.0
        self.max_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        index = _ZERO_BIN
        if duration_s > 0:
            mantissa, exponent = math.frexp(duration_s)
            index = exponent * _BINS_PER_OCTAVE + int((mantissa - 0.5) * (2 * _BINS_PER_OCTAVE))
        self.bins[index] = self.bins.get(index, 0) + 1
        self.count += 1
        self.total_s += duration_s
        self.max_s = max(self.max_s, duration_s)

    def merge(self, other: Histogram) -> None:
        """Count everything that `other` has counted."""
        for index, count in other.bins.items():
            self.bins[index] = self.bins.get(index, 0) + count
        self.count += other.count
        self.total_s += other.total_s
        self.max_s = max(self.max_s, other.max_s)

    def percentile_s(self, percent: float) -> float | None:
        """Return the middle of the bin that holds the nearest-rank percentile; None if empty."""
        if self.count == 0:
            return None
        rank, seen = max(1, math.ceil(percent / 100 * self.count)), 0
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
        histogram.bins = {int(index): int(count) for index, count in document["bins"].items()}
        histogram.count = int(document["count"])
        histogram.total_s = float(document["total_s"])
        histogram.max_s = float(document["max_s"])
        return histogram


def _middle_s(index: int) -> float:
    if index == _ZERO_BIN:
        return 0.0
    exponent, step = divmod(index, _BINS_PER_OCTAVE)
    return math.ldexp(0.5 + (step + 0.5) / (2 * _BINS_PER_OCTAVE), exponent)
