"""Axes: from a value to its place, and where the ticks are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.report.html import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

_MOST_TICKS = 6
_TIME_STEPS_S = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600),
)
_DAY_S = 24 * 3600


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Attributes
    ----------
    at_percent : float
        From the axis' origin.
    label : str
    """

    at_percent: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A range of values, with ticks.

    Attributes
    ----------
    low, high : float
        What lies at the origin and at the other end.
    is_log : bool
        Whether equal distances are equal ratios; then both ends are positive.
    ticks : list of Tick
    """

    low: float
    high: float
    is_log: bool
    ticks: list[Tick]

    def places(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where values lie, 0 to 1; what is outside lies at the nearer end."""
        import numpy as np

        low, high, inside = self.low, self.high, np.clip(values, self.low, self.high)
        if self.is_log:
            low, high, inside = math.log(low), math.log(high), np.log(inside)
        return np.asarray((inside - low) / (high - low), dtype=np.float64)

    def percent(self, value: float) -> float:
        """Return where a value lies, 0 to 100."""
        import numpy as np

        return round(float(self.places(np.array([value]))[0]) * 100, 3)


def linear(high: float) -> Axis:
    """Return an axis from 0 to `high` or to the tick above it."""
    high = high if high > 0 else 1.0
    step = _nice_step(high / _MOST_TICKS)
    end = math.ceil(high / step - 1e-9) * step
    values = [step * index for index in range(round(end / step) + 1)]
    digits = max(0, -math.floor(math.log10(step)))
    return _axis(0.0, end, values, lambda value: f"{value:,.{digits}f}")


def share() -> Axis:
    """Return an axis from 0 to 100 percent."""
    return _axis(0.0, 100.0, [0, 25, 50, 75, 100], lambda value: f"{value:.0f}\N{NO-BREAK SPACE}%")


def time(high_s: float) -> Axis:
    """Return an axis of seconds since the start; it ends at `high_s`, tick or not."""
    high_s = high_s if high_s > 0 else 1.0
    fitting = (step for step in _TIME_STEPS_S if high_s / step <= _MOST_TICKS)
    step = float(next(fitting, _DAY_S * math.ceil(high_s / _MOST_TICKS / _DAY_S)))
    if high_s < _MOST_TICKS / 2:
        step = _nice_step(high_s / _MOST_TICKS)
    values = [step * index for index in range(math.floor(high_s / step + 1e-9) + 1)]
    return _axis(0.0, high_s, values, lambda value: _moment(value, step))


def counted(high: int) -> Axis:
    """Return an axis of things that are counted from 0; it ends at `high`, tick or not."""
    step = max(1, round(_nice_step(max(1, high) / _MOST_TICKS)))
    values = [float(value) for value in range(0, high + 1, step)]
    return _axis(0.0, float(max(1, high)), values, lambda value: f"{value:,.0f}")


def logarithmic(low_s: float, high_s: float) -> Axis:
    """Return an axis of durations over the powers of ten around `low_s` and `high_s`."""
    first = math.floor(math.log10(low_s) + 1e-9)
    last = max(first + 1, math.ceil(math.log10(high_s) - 1e-9))
    stride = math.ceil((last - first + 1) / 8)
    low, high = 10.0**first, 10.0**last
    ticks = [10.0**power for power in range(first, last + 1, stride)]
    bare = Axis(low, high, True, [])
    return Axis(low, high, True, [Tick(bare.percent(each), _decade(each)) for each in ticks])


def _axis(low: float, high: float, values: Sequence[float], label: Callable[[float], str]) -> Axis:
    bare = Axis(low, high, False, [])
    return Axis(low, high, False, [Tick(bare.percent(each), label(each)) for each in values])


def _nice_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is `least` or more."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _moment(moment_s: float, step_s: float) -> str:
    if step_s >= 3600:
        return f"{moment_s / 3600:.0f}\N{NO-BREAK SPACE}h"
    if step_s >= 60:
        return f"{moment_s / 60:.0f}\N{NO-BREAK SPACE}min"
    return f"{moment_s:.6g}\N{NO-BREAK SPACE}s"


def _decade(value_s: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("\N{MICRO SIGN}s", 1e-6)):
        if value_s >= factor * (1 - 1e-9):
            return f"{value_s / factor:,.0f}\N{NO-BREAK SPACE}{unit}"
    return wording.amount(value_s * 1e9, "ns")
