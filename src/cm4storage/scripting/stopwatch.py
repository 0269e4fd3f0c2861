"""How long each recipe of a run took, with and without the recipes that it ran."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from cm4storage.core.records import asdict, dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Lap:
    """One recipe's time.

    Parameters
    ----------
    own_s : float
        Without the recipes below it; waiting for other runs counts.
    """

    depth: int
    recipe: str
    total_s: float = 0.0
    own_s: float = 0.0


@dataclass
class Stopwatch:
    """Times nested work; a lap is in the list from its beginning, so in the order of the calls."""

    laps: list[Lap] = field(default_factory=list)
    _below_s: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def lap(self, recipe: str) -> Iterator[None]:
        """Time one recipe."""
        lap = Lap(len(self._below_s), recipe)
        self.laps.append(lap)
        self._below_s.append(0.0)
        start_s = time.perf_counter()
        try:
            yield
        finally:
            lap.total_s = time.perf_counter() - start_s
            lap.own_s = lap.total_s - self._below_s.pop()
            if self._below_s:
                self._below_s[-1] += lap.total_s

    def as_json(self) -> list[dict[str, Any]]:
        """Return the laps as plain values."""
        return [asdict(lap) for lap in self.laps]

    def lines(self) -> Iterator[str]:
        """Yield a table."""
        yield f"{'own, s':>10} {'total, s':>10}  recipe"
        for lap in self.laps:
            yield f"{lap.own_s:10.3f} {lap.total_s:10.3f}  {'  ' * lap.depth}{lap.recipe}"
