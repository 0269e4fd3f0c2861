"""How long the stages of the work took: one histogram each, all over the same axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.core.units import format_count
from cm4storage.report.html import scales, wording
from cm4storage.report.html.plots import Path, Plot, boxes, spots
from cm4storage.report.html.scales import Axis, Tick
from cm4storage.results.histogram import bounds_s
from cm4storage.results.report_files import PERCENTILES, stages_of

if TYPE_CHECKING:
    from cm4storage.results.histogram import Histogram
    from cm4storage.results.records import RunRecord

NAMES = {
    "wait": ("Wait for a batch", "step"),
    "io": ("Read", "read"),
    "decode": ("Decode a sample", "sample"),
    "preprocess": ("Preprocess a sample", "sample"),
    "h2d": ("Move to the device", "step"),
    "compute": ("Computation", "step"),
    "barrier": ("Wait for other ranks", "step"),
}
"""Each stage, and what is counted."""

_BINS_IN_A_BAR = 4


@dataclass(frozen=True)
class Stage:
    """A stage and its percentiles.

    Attributes
    ----------
    name, counted : str
    count : int
    values_s : list of float
        P50, P95, P99, P99.9 and the longest.
    plot : Plot or None
        None where all took no time that can be measured.
    """

    name: str
    counted: str
    count: int
    values_s: list[float]
    plot: Plot | None


def stages(record: RunRecord) -> list[Stage]:
    """Return the stages that happened."""
    found = stages_of(record)
    happened = {name: found[name] for name in NAMES if name in found and found[name].count}
    lowest = [low for stage in happened.values() for low, _ in map(bounds_s, stage.bins) if low > 0]
    if not lowest:
        return [_stage(name, stage, None) for name, stage in happened.items()]
    axis = scales.logarithmic(min(lowest), max(each.max_s for each in happened.values()))
    return [_stage(name, stage, axis) for name, stage in happened.items()]


def _stage(name: str, stage: Histogram, axis: Axis | None) -> Stage:
    values = [stage.percentile_s(percent) or 0.0 for percent in PERCENTILES.values()]
    title, counted = NAMES[name]
    plot = _plot(name, stage, axis) if axis and stage.max_s > 0 else None
    return Stage(title, counted, stage.count, [*values, stage.max_s], plot)


def _plot(name: str, stage: Histogram, x: Axis) -> Plot:
    import numpy as np

    title, counted = NAMES[name]
    bars = _bars(stage)
    edges = [(bounds_s(first)[0], bounds_s(first + _BINS_IN_A_BAR - 1)[1]) for first in bars]
    x0, x1 = (x.places(np.array([edge[side] for edge in edges])) for side in (0, 1))
    counts = np.array(list(bars.values()), dtype=np.float64)
    heights = np.log1p(counts) / np.log1p(counts.max())
    texts = [
        f"{wording.duration(low)} to {wording.duration(high)}\n{count:,} of {stage.count:,}"
        f" ({wording.percent(count / stage.count * 100, 2)})"
        for (low, high), count in zip(edges, bars.values(), strict=True)
    ]
    marks = {"P50": stage.percentile_s(50), "P99": stage.percentile_s(99)}
    return Plot(
        name=f"latency-{name}",
        title=title,
        summary=f"{format_count(stage.count, 'duration')}, one a {counted}; half take "
        f"{wording.duration(marks['P50'])} or less, 99\N{NO-BREAK SPACE}% take "
        f"{wording.duration(marks['P99'])} or less.",
        x=x,
        y=Axis(0.0, 1.0, False, []),
        x_title="",
        y_title="",
        paths=[Path("bars", boxes(x0, x1, 0 * heights, heights))],
        spots=spots(x0, x1, texts),
        borders=[Tick(x.percent(value), label) for label, value in marks.items() if value],
        height_px=64,
        look="compact",
    )


def _bars(stage: Histogram) -> dict[int, int]:
    """Return counts by the first bin of each bar; what took no time is in none."""
    bars: dict[int, int] = {}
    for index in sorted(stage.bins):
        if bounds_s(index)[0] > 0:
            first = index - index % _BINS_IN_A_BAR
            bars[first] = bars.get(first, 0) + stage.bins[index]
    return bars
