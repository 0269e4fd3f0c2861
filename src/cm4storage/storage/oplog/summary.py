"""What the rows of an operation log come to, by kind of operation."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cm4storage.storage.oplog.reading import Row


@dataclass
class Kind:
    """The operations of one kind.

    Attributes
    ----------
    count, size_bytes, errors, retries : int
    durations_s, first_bytes_s : array of float
        Of those that succeeded; the latter where the log tells.
    """

    count: int = 0
    size_bytes: int = 0
    errors: int = 0
    retries: int = 0
    durations_s: array[float] = field(default_factory=lambda: array("d"))
    first_bytes_s: array[float] = field(default_factory=lambda: array("d"))

    def add(self, row: Row) -> None:
        """Count one more."""
        self.count += 1
        self.size_bytes += row.size_bytes
        self.retries += row.retries
        if row.error:
            self.errors += 1
            return
        self.durations_s.append(row.duration_s)
        if row.first_byte_s is not None:
            self.first_bytes_s.append(row.first_byte_s)

    def as_json(self) -> dict[str, Any]:
        """Return JSON data, with units in the names."""
        return {
            "count": self.count,
            "bytes": self.size_bytes,
            "errors": self.errors,
            "retries": self.retries,
            "p50_s": percentile(self.durations_s, 50),
            "p99_s": percentile(self.durations_s, 99),
            "max_s": max(self.durations_s, default=None),
            "first_byte_p50_s": percentile(self.first_bytes_s, 50),
        }


def by_kind(rows: Iterable[Row]) -> dict[str, Kind]:
    """Return the operations of each kind, in the order of their names."""
    kinds: dict[str, Kind] = {}
    for row in rows:
        kinds.setdefault(row.op, Kind()).add(row)
    return dict(sorted(kinds.items()))


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Return the smallest value that `percent` of all do not exceed; None where there are none.

    The nearest-rank definition.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
