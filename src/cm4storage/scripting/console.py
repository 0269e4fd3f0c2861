"""What a run says: one plain line per decision, indented by depth."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TextIO

from cm4storage.core.errors import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME_COLUMNS = 44
_STYLES = {"hit": "32", "miss": "33", "warning": "33", "dim": "2", "bold": "1"}


@contextlib.contextmanager
def closing_quietly(stream: TextIO) -> Iterator[None]:
    """Let a stream whose reader has gone lead to nowhere, for us and for our children."""
    try:
        yield
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class Secrets:
    """The secret values that one run has met."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these texts by ``***`` in all that follows. Very short ones are let through."""
        self._known.update(secret for secret in secrets if len(secret) >= 4)

    def shown(self, text: str) -> str:
        """Return `text` as it may be shown: without secrets."""
        # The longest first: one secret may hold another.
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, "***")
        return redact_url(text)


class Console:
    """Writes lines for people.

    Parameters
    ----------
    stream : TextIO
        Where lines go. Colours are used only if it is a terminal.
    is_silent : bool
        Drop everything but warnings.
    secrets : Secrets, optional
        What no line may show.
    """

    def __init__(
        self, stream: TextIO, *, is_silent: bool = False, secrets: Secrets | None = None
    ) -> None:
        self._stream = stream
        self._is_silent = is_silent
        self._has_colours = stream.isatty()
        self._secrets = secrets if secrets is not None else Secrets()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these texts by ``***`` in all that follows."""
        self._secrets.hide(secrets)

    def shown(self, text: str) -> str:
        """Return `text` as it may be shown: without secrets."""
        return self._secrets.shown(text)

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
        with closing_quietly(self._stream):
            self._stream.flush()

    def _write(self, text: str, style: str) -> None:
        if self._has_colours and style in _STYLES:
            text = f"\033[{_STYLES[style]}m{text}\033[0m"
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        with closing_quietly(self._stream):  # `| head` does not end the run
            self._stream.write(f"{text}\n")
            self._stream.flush()
