"""When each rank wrote and read which checkpoint: a lane for each rank over the time of the run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.units import format_count
from cm4storage.report.html import scales, wording
from cm4storage.report.html.checkpoint_verdict import KINDS, VERBS
from cm4storage.report.html.plots import Key, Path, Plot, Spot, boxes
from cm4storage.report.html.scales import Axis, Tick
from cm4storage.report.html.steps import seconds_between

if TYPE_CHECKING:
    from cm4storage.results.checkpoint_records import OperationKind, OperationRecord
    from cm4storage.results.checkpoint_run_figures import CheckpointRunFigures

MOST_LANES: Final = 16
MOST_CHECKPOINTS: Final = 40
"""Of each kind, the first ones."""

_LANE_PX: Final = 26
_LEAST_PX: Final = 80
_FULL: Final = 0.72
_LOOKS: Final = {"save": "compute", "load": "wait"}


@dataclass(frozen=True)
class _Bar:
    """What the ranks of a lane did for one checkpoint, in seconds since the begin of the run."""

    lane: int
    kind: OperationKind
    start_s: float
    end_s: float
    text: str


def timeline(figures: CheckpointRunFigures) -> Plot:
    """Return the plot of all ranks; where there are many, neighbours share a lane."""
    each = math.ceil(figures.ranks / MOST_LANES)
    lanes = math.ceil(figures.ranks / each)
    bars = sorted(_bars(figures, each), key=lambda bar: (bar.lane, bar.start_s))
    x = scales.time(max(bar.end_s for bar in bars))
    return Plot(
        name="ranks",
        title="Ranks over time",
        summary=_summary(figures, each),
        x=x,
        y=Axis(0.0, 1.0, False, [_tick(lane, lanes, each, figures.ranks) for lane in range(lanes)]),
        x_title="time since the start of the run",
        y_title="rank" if each == 1 else "ranks",
        paths=[_path(kind, [bar for bar in bars if bar.kind == kind], x, lanes) for kind in KINDS],
        spots=[_spot(bar, x, lanes) for bar in bars],
        legend=[Key(_LOOKS[kind], VERBS[kind]) for kind in KINDS if figures.of(kind)],
        height_px=max(_LEAST_PX, lanes * _LANE_PX),
    )


def _bars(figures: CheckpointRunFigures, each: int) -> list[_Bar]:
    together: dict[tuple[int, OperationKind, int], list[OperationRecord]] = {}
    for operation in figures.record.operations:
        if operation.number <= MOST_CHECKPOINTS:
            key = (operation.rank // each, operation.kind, operation.number)
            together.setdefault(key, []).append(operation)
    start = figures.record.start
    return [
        _Bar(
            lane, kind,
            min(seconds_between(start, one.start) for one in of_lane),
            max(seconds_between(start, one.start) + one.duration_s for one in of_lane),
            _text(of_lane, start),
        )
        for (lane, kind, _), of_lane in together.items()
    ]  # fmt: skip


def _text(of_lane: list[OperationRecord], start: str) -> str:
    first = min(of_lane, key=lambda one: one.rank)
    stored_bytes = sum(one.stored_bytes for one in of_lane)
    begin_s = min(seconds_between(start, one.start) for one in of_lane)
    head = f"checkpoint {first.number} {VERBS[first.kind]}, at {wording.duration(begin_s)}"
    if len(of_lane) > 1:
        slow = max(of_lane, key=lambda one: one.duration_s)
        fast = min(of_lane, key=lambda one: one.duration_s)
        return (
            f"ranks {first.rank} to {max(one.rank for one in of_lane)}, {head}\n"
            f"{wording.size(stored_bytes)} in {wording.duration(slow.duration_s)} (rank"
            f" {slow.rank}), the fastest in {wording.duration(fast.duration_s)} (rank {fast.rank})"
        )
    rate = stored_bytes / 2**20 / first.duration_s if first.duration_s > 0 else None
    source = f", of rank {first.source_rank}" if first.source_rank != first.rank else ""
    return (
        f"rank {first.rank}, {head}\n{wording.size(stored_bytes)}{source} in "
        f"{wording.duration(first.duration_s)}, {wording.amount(rate, 'MiB/s')}"
    )


def _summary(figures: CheckpointRunFigures, each: int) -> str:
    parts = []
    for kind in KINDS:
        spent = [one.duration_s for one in figures.record.operations if one.kind == kind]
        if spent:
            parts.append(
                f"{format_count(len(figures.of(kind)), 'checkpoint')} {VERBS[kind]}, by each rank "
                f"in {wording.duration(min(spent))} to {wording.duration(max(spent))}"
            )
    shared = f" {each} neighbours share a line." if each > 1 else ""
    most = max(len(figures.saves), len(figures.loads))
    cut = f" The first {MOST_CHECKPOINTS} are shown." if most > MOST_CHECKPOINTS else ""
    return f"{'; '.join(parts)}.{shared}{cut}"


def _tick(lane: int, lanes: int, each: int, ranks: int) -> Tick:
    """Return the name of a lane at its middle; the first lane is on top."""
    first, last = lane * each, min(ranks, (lane + 1) * each) - 1
    label = f"{first}" if first == last else f"{first}\N{EN DASH}{last}"
    return Tick(round((1 - (lane + 0.5) / lanes) * 100, 3), label)


def _path(kind: OperationKind, bars: list[_Bar], x: Axis, lanes: int) -> Path:
    import numpy as np

    x0, x1 = (
        x.places(np.array([getattr(bar, side) for bar in bars], dtype=np.float64))
        for side in ("start_s", "end_s")
    )
    middle = 1 - (np.array([bar.lane for bar in bars], dtype=np.float64) + 0.5) / lanes
    half = _FULL / lanes / 2
    return Path(f"lane {_LOOKS[kind]}", boxes(x0, x1, middle - half, middle + half))


def _spot(bar: _Bar, x: Axis, lanes: int) -> Spot:
    left, right = x.percent(bar.start_s), x.percent(bar.end_s)
    return Spot(
        round(left, 2), round(max(right - left, 0.05), 2), bar.text,
        top_percent=round(bar.lane / lanes * 100, 2), height_percent=round(100 / lanes, 2),
    )  # fmt: skip
