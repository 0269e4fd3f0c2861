"""Progress of long work as events; whoever owns the terminal draws them."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one piece of work. Methods may be called from several threads."""

    def start(self, what: str, total: int, unit: str, done: int = 0) -> None:
        """Begin `what`, which consists of `total` units, `done` of which were done before."""

    def advance(self, units: int, detail: str = "") -> None:
        """Say that `units` more are done; `detail` may replace the text at the end."""

    def tell(self, text: str) -> None:
        """Say what has changed, such as that an epoch has ended."""

    def finish(self) -> None:
        """End the work, complete or not."""


class NoProgress:
    """Shows nothing."""

    def start(self, what: str, total: int, unit: str, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, units: int, detail: str = "") -> None:
        """Do nothing."""

    def tell(self, text: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
