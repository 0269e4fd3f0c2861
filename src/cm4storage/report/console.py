"""The one owner of the terminal: lines, progress, and plain text where there is no terminal."""

from __future__ import annotations

import re
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from cm4storage.core.errors import StorageFault
from cm4storage.core.progress import NoProgress, Progress
from cm4storage.core.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_NO_COLOURS = r"(?!\x1b\[[0-9;]*m)"


def printable(text: str) -> str:
    r"""Return a text of others without what a terminal obeys, each as JSON has it: ``\u001b``.

    Lines and tabs stay.
    """
    return re.sub(_CONTROLS, _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class Console:
    """Writes results to standard output, and remarks, progress and errors to standard error.

    Parameters
    ----------
    quiet : bool
        Leave out remarks and progress.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._stream = sys.stderr
        self._quiet = quiet

    def say(self, line: str) -> None:
        """Write one remark."""
        if not self._quiet:
            self.complain(line)

    def complain(self, text: str) -> None:
        """Write what must be seen although it is no result; a full disk of a log ends no run."""
        try:
            _write(self._stream, text)
        except BrokenPipeError:
            raise
        except OSError:
            return  # nobody could be told

    def show(self, text: str) -> None:
        """Write what the user asked for.

        Raises
        ------
        StorageFault
            If it cannot be written.
        """
        try:
            _write(sys.stdout, text)
        except BrokenPipeError:  # who reads has seen enough
            raise
        except OSError as error:
            raise StorageFault(
                f"cannot write the output: {error.strerror}",
                where="standard output",
                advice="make room, or let the output go elsewhere",
            ) from error

    def progress(self) -> Progress:
        """Return what draws progress here: a bar on a terminal, else a line for each change."""
        if self._quiet:
            return NoProgress()
        if self._stream.isatty():
            return _BarProgress(self._stream)
        return _LineProgress(self)


def _write(stream: TextIO, text: str) -> None:
    """Write a line: names of files may be no text, and the stream may know few letters."""
    encoding = stream.encoding or "utf-8"
    known = text.encode(encoding, "backslashreplace").decode(encoding)
    # Tables on a terminal have the colours that we gave them; nothing has other commands.
    stream.write(re.sub(_NO_COLOURS + _CONTROLS, _escaped, known) + "\n")
    stream.flush()


class _LineProgress:
    """One line when the work starts, when it has changed, and when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._what, self._unit = "", ""
        self._left = self._done = 0
        self._begin = 0.0

    def start(self, what: str, total: int, unit: str, done: int = 0) -> None:
        self._what, self._left, self._unit, self._done = what, total - done, unit, 0
        self._begin = time.perf_counter()
        before = f", {_amount(done, unit)} of it done before" if done else ""
        self._console.say(f"{what}: {_amount(total, unit)}{before}")

    def advance(self, units: int, detail: str = "") -> None:
        del detail
        with self._lock:
            self._done += units

    def tell(self, text: str) -> None:
        self._console.say(text)

    def finish(self) -> None:
        elapsed_s = time.perf_counter() - self._begin
        state = "done" if self._done >= self._left else "stopped"
        rate = _amount(self._done / max(elapsed_s, 1e-9), self._unit)
        self._console.say(
            f"{self._what}: {state} after {_amount(self._done, self._unit)}"
            f" in {format_seconds(elapsed_s)} ({rate}/s)"
        )


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return format_bytes(value)
    whole = round(value)
    return format_count(whole, unit) if value >= 10 or value == whole else f"{value:.3g} {unit}s"


class _BarProgress:
    """A bar with rate, time left and figures, drawn at most ten times a second."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._pending = 0
        self._detail = ""
        self._drawn = 0.0

    def start(self, what: str, total: int, unit: str, done: int = 0) -> None:
        from cm4storage.report.bar import make_bar

        self._bar, self._detail = make_bar(self._stream, unit), ""
        self._task = self._bar.add_task(what, total=total, completed=done, detail="")
        self._bar.start()

    def advance(self, units: int, detail: str = "") -> None:
        with self._lock:
            self._pending += units
            self._detail = detail or self._detail
            now = time.perf_counter()
            if now - self._drawn >= 0.1:
                self._drawn = now
                self._flush()

    def tell(self, text: str) -> None:
        self.advance(0, text)

    def _flush(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=self._pending, detail=self._detail)
        self._pending = 0

    def finish(self) -> None:
        with self._lock:
            self._flush()
        if self._bar is not None:
            self._bar.stop()
