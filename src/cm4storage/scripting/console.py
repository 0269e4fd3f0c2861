"""What a run says: one plain line per decision, indented by depth."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO

from cm4storage.core.errors import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME_COLUMNS = 44
_STYLES = {"hit": "32", "miss": "33", "warning": "33", "dim": "2", "bold": "1"}


class Console:
    """Writes lines for people.

    Parameters
    ----------
    stream : TextIO
        Where lines go. Colours are used only if it is a terminal.
    is_silent : bool
        Drop everything but warnings.
    """

    def __init__(self, stream: TextIO, *, is_silent: bool = False) -> None:
        self._stream = stream
        self._is_silent = is_silent
        self._has_colours = stream.isatty()
        self._secrets: set[str] = set()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these texts by ``***`` in all that follows. Very short ones are let through."""
        self._secrets.update(secret for secret in secrets if len(secret) >= 4)

    def shown(self, text: str) -> str:
        """Return `text` as it may be shown: without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return redact_url(text)

    def line(self, text: str = "", *, style: str = "") -> None:
        """Write one line."""
        if not self._is_silent:
            self._write(self.shown(text), style)

    def warning(self, text: str) -> None:
        """Write a line that is shown even under ``--silent``."""
        self._write(f"warning: {self.shown(text)}", "warning")

    def recipe(self, depth: int, name: str, decision: str = "") -> None:
        """Write a recipe's line: its name and, aligned, what is done about it."""
        start = f"{'  ' * depth}{name}"
        style = decision.partition(":")[0]
        if not decision:
            self.line(start, style="bold")
        else:
            self.line(f"{start:<{_NAME_COLUMNS}}  {decision}", style=style)

    def flush(self) -> None:
        """Let a process that shares the stream write after what was said so far."""
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()

    def _write(self, text: str, style: str) -> None:
        if self._has_colours and style in _STYLES:
            text = f"\033[{_STYLES[style]}m{text}\033[0m"
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        with contextlib.suppress(BrokenPipeError):  # `| head` does not end the run
            self._stream.write(f"{text}\n")
        self.flush()
