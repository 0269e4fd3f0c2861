"""When a checkpoint is due."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """Which steps, or epochs, are followed by a checkpoint.

    Attributes
    ----------
    first : int
        The first one; 0: none ever.
    every : int
        From one to the next; 0: there is no other.
    """

    first: int
    every: int


class Due:
    """Tells for rising numbers whether one is due. What was missed is caught up once.

    With an interval of 10, step 5 is not due and 10 is; where 10 was never asked about, 15 is due
    in its place. The next one after either is 20.
    """

    def __init__(self, cadence: Cadence) -> None:
        self._cadence = cadence
        self._next = cadence.first or None

    def is_due(self, number: int) -> bool:
        """Tell it, and count the number as done where it is."""
        if self._next is None or number < self._next:
            return False
        first, every = self._cadence.first, self._cadence.every
        self._next = number - (number - first) % every + every if every else None
        return True
