"""When checkpoints were written, and how long training stood still for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.core.units import format_count
from cm4storage.report.html import scales, wording
from cm4storage.report.html.plots import Key, Path, Plot, boxes, spots
from cm4storage.report.html.scales import Axis
from cm4storage.report.html.steps import seconds_between

if TYPE_CHECKING:
    from cm4storage.results.figures import RunFigures
    from cm4storage.results.records import CheckpointRecord

MOST_ROWS = 400
_UPPER, _LOWER = (0.55, 0.9), (0.1, 0.45)
"""The lanes of writing and of standing still, from and to, of the plot's height."""


@dataclass(frozen=True)
class Row:
    """A checkpoint as the table shows it.

    Attributes
    ----------
    step : int
        Over all epochs.
    epoch : int or None
    start_s : float
        Since the begin of the run.
    record : CheckpointRecord
    mib_per_s : float or None
        What was stored over the time of writing.
    """

    step: int
    epoch: int | None
    start_s: float
    record: CheckpointRecord
    mib_per_s: float | None


def rows(figures: RunFigures) -> list[Row]:
    """Return the checkpoints of a run; none where its record knows of none."""
    return [
        Row(
            each.step, each.epoch, seconds_between(figures.record.start, each.start), each,
            each.stored_bytes / 2**20 / each.write_s if each.write_s else None,
        )
        for each in figures.record.checkpoints
    ]  # fmt: skip


def timeline(shown: list[Row], run_time_s: float) -> Plot:
    """Return the plot of two lanes over the time of the run."""
    import numpy as np

    shown = shown[:MOST_ROWS]
    x = scales.time(run_time_s)
    starts = np.array([row.start_s for row in shown])
    writes = np.array([row.record.write_s for row in shown])
    stalls = np.array([row.record.stall_s for row in shown])
    x0, x1, x2 = x.places(starts), x.places(starts + writes), x.places(starts + stalls)
    return Plot(
        name="checkpoints",
        title="Checkpoints over time",
        summary=f"{format_count(len(shown), 'checkpoint')}; training stood still for "
        f"{wording.duration(float(stalls.sum()))}, and they were written in "
        f"{wording.duration(float(writes.sum()))}.",
        x=x,
        y=Axis(0.0, 1.0, False, []),
        x_title="time since the start of the run",
        y_title="",
        paths=[
            Path("lane compute", boxes(x0, x1, 0 * x0 + _UPPER[0], 0 * x0 + _UPPER[1])),
            Path("lane wait", boxes(x0, x2, 0 * x0 + _LOWER[0], 0 * x0 + _LOWER[1])),
        ],
        spots=spots(x0, np.maximum(x1, x2), [_text(row) for row in shown]),
        legend=[Key("compute", "written to storage"), Key("wait", "training stands still")],
        height_px=96,
    )


def _text(row: Row) -> str:
    record = row.record
    failed = f"\nfailed: {record.error}" if record.error else ""
    return (
        f"step {row.step:,}, at {wording.duration(row.start_s)}\n"
        f"{wording.size(record.stored_bytes)} in {wording.duration(record.write_s)},"
        f" {wording.amount(row.mib_per_s, 'MiB/s')}\n"
        f"training stood still for {wording.duration(record.stall_s)}{failed}"
    )
