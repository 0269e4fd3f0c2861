"""A plot as data: paths, marks and what a reader can point at. The template draws it.

Everything is placed in percent of the plot, and paths in a square of 1000 that is stretched to it:
letters keep their size on a screen of any width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cm4storage.report.html.scales import Axis, Tick

    Places = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """A path of SVG, and the class of style that draws it."""

    look: str
    commands: str


@dataclass(frozen=True)
class Spot:
    """What a reader can point at: a stretch of the horizontal axis, or a part of its height.

    Attributes
    ----------
    at_percent, width_percent : float
    text : str
    top_percent, height_percent : float
        From the top of the plot.
    """

    at_percent: float
    width_percent: float
    text: str
    top_percent: float = 0.0
    height_percent: float = 100.0


@dataclass(frozen=True)
class Key:
    """One entry of the legend."""

    look: str
    text: str


@dataclass(frozen=True)
class Plot:
    """A plot with its axes.

    Attributes
    ----------
    name : str
        Unique on the page.
    title, summary : str
        The latter says in words what the plot shows.
    x, y : Axis
        The latter's ticks are counted from the bottom.
    x_title, y_title : str
    paths : list of Path
        The first is drawn first.
    spots : list of Spot
    borders : list of Tick
        Vertical lines with a label at their right, such as the start of an epoch.
    levels : list of Tick
        Horizontal lines, such as a threshold.
    legend : list of Key
    height_px : int
    look : str
        A class of style; ``compact`` puts the words beside the plot.
    """

    name: str
    title: str
    summary: str
    x: Axis
    y: Axis
    x_title: str
    y_title: str
    paths: list[Path]
    spots: list[Spot]
    borders: list[Tick] = field(default_factory=list)
    levels: list[Tick] = field(default_factory=list)
    legend: list[Key] = field(default_factory=list)
    height_px: int = 220
    look: str = ""


def line(x0: Places, x1: Places, y: Places) -> str:
    """Return a line of steps: level `y` from `x0` to `x1`, with a gap where these do not meet."""
    parts, last = [], None
    for left, right, height in zip(_across(x0), _across(x1), _upright(y), strict=True):
        parts.append(f"L{left} {height}" if left == last else f"M{left} {height}")
        parts.append(f"H{right}")
        last = right
    return "".join(parts)


def boxes(x0: Places, x1: Places, low: Places, high: Places) -> str:
    """Return one rectangle for each stretch, from `low` to `high`."""
    sides = zip(_across(x0), _across(x1), _upright(low), _upright(high), strict=True)
    return "".join(
        f"M{left} {bottom}V{top}H{right}V{bottom}Z" for left, right, bottom, top in sides
    )


def spots(x0: Places, x1: Places, texts: list[str]) -> list[Spot]:
    """Return what a reader can point at: a stretch and its text each."""
    stretches = zip((x0 * 100).tolist(), (x1 * 100).tolist(), texts, strict=True)
    return [Spot(round(a, 2), round(max(b - a, 0.05), 2), text) for a, b, text in stretches]


def _across(places: Places) -> list[str]:
    return [f"{value:.5g}" for value in (places * 1000).round(1).tolist()]


def _upright(places: Places) -> list[str]:
    return [f"{value:.5g}" for value in ((1 - places) * 1000).round(1).tolist()]
