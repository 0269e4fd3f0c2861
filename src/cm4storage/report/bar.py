"""The progress bar on a terminal. Imports rich, and so is imported only when a bar is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cm4storage.core.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType
    from rich.progress import Task

REFRESHES_PER_S = 4
"""Seldom enough that drawing is not seen in what is measured."""


class _Rate(ProgressColumn):
    """Bytes a second, in the binary units of the amount beside it."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before it is known."""
        return Text(f"{format_bytes(task.speed)}/s" if task.speed else "")


class _DetailedProgress(Progress):
    """A bar with a line below it, which a narrow terminal cuts and the bar does not feel."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bar, and the detail of its task."""
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields.get("detail"):
                yield Text(f"  {task.fields['detail']}", no_wrap=True, overflow="ellipsis")


class _CountRate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before it is known."""
        return Text(f"{task.speed:,.1f}/s" if task.speed else "")


def make_bar(stream: TextIO, unit: str) -> Progress:
    """Return a bar for work in `unit`: amount, rate, time left, and a detail."""
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    if unit == "B":
        columns += [DownloadColumn(binary_units=True), _Rate()]
    else:
        columns += [MofNCompleteColumn(), TextColumn(f"{unit}s"), _CountRate()]
    columns.append(TimeRemainingColumn())
    return _DetailedProgress(
        *columns, console=Console(file=stream), refresh_per_second=REFRESHES_PER_S
    )
