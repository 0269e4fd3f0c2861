"""The logs of run.sh: written while it runs, kept when it fails, limited in number."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import time
from typing import TYPE_CHECKING, BinaryIO, Final

from cm4storage.scripting.environment import COMMAND_VARIABLE, exported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from cm4storage.scripting.session import Session

MOST_LOGS: Final = 20
"""How many logs are kept; the oldest go, but none that an error has just named."""

MOST_BYTES: Final = 16 << 20
"""How much of the end of an output is kept at least; twice as much at most."""

_YOUNG_S: Final = 3600.0

SHOWN_LINES: Final = 8

_EARLIER: Final = ".earlier"
_TAIL_BYTES: Final = 1 << 14
_ESCAPES: Final = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])")


class Log:
    """One log. What is written to it is in the file at once.

    Parameters
    ----------
    path : Path
        The file; an output that is too large continues in it, and its beginning goes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._earlier = path.with_name(f"{path.name}{_EARLIER}")
        self._size_bytes = 0
        self._stream: BinaryIO | None = None
        self._open()

    def write(self, data: bytes) -> None:
        """Add to the log. A full disk ends the log, not the run."""
        if self._stream is None or not data:
            return
        try:
            if self._size_bytes > MOST_BYTES:
                self._stream.close()
                self.path.rename(self._earlier)
                self._open()
            self._stream.write(data)
            self._size_bytes += len(data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Write no more."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def remove(self) -> None:
        """Remove the log."""
        self.close()
        for path in (self.path, self._earlier):
            with contextlib.suppress(OSError):
                path.unlink()

    def last_lines(self, count: int = SHOWN_LINES) -> list[str]:
        """Return the last lines as a terminal shows them in the end, without colours."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return []
        lines = [
            _ESCAPES.sub("", line.rstrip("\r")).rpartition("\r")[2] for line in text.split("\n")
        ]
        return [line.rstrip() for line in lines if line.strip()][-count:]

    def _open(self) -> None:
        opener = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._stream = os.fdopen(opener, "wb", buffering=0)
        self._size_bytes = 0
        with contextlib.suppress(OSError):  # held: another run's `_limit` leaves the file alone
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def run_logged(
    session: Session, recipe: str, script: Path, wrapper: Path, env: Mapping[str, Any]
) -> int:
    """Run a recipe's script with its output on the terminal and in a log; return its exit code.

    Parameters
    ----------
    recipe : str
        The recipe's alias, for the name of the log.
    wrapper : Path
        As for `processes.run_script`.
    env : Mapping
        The recipe's environment.
    """
    from cm4storage.scripting.processes import run_script  # many recipes start no process
    from cm4storage.scripting.relay import Relay

    inherited = {k: v for k, v in os.environ.items() if k != COMMAND_VARIABLE}
    environment = session.guards.applied(exported(env, inherited))
    session.console.flush()
    target = 2 if session.options.wants_json else 1
    with _log(session, recipe) as log:
        relay = Relay(session.console.secrets, log.write if log else _drop, target)
        with contextlib.closing(relay):
            status = run_script(
                script, wrapper, environment, session.lifeline, session.guard, relay=relay
            )
        if log is not None and not status:
            log.remove()
        session.failed_log = log if status else None
        return status


@contextlib.contextmanager
def _log(session: Session, recipe: str) -> Iterator[Log | None]:
    """Open a log; one of a run that is stopped or killed stays, too."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S")
    session.logs_made += 1
    path = session.log_folder / f"{now}-{recipe}-{os.getpid()}-{session.logs_made}.log"
    try:
        session.log_folder.mkdir(parents=True, exist_ok=True)
        log = Log(path)
    except OSError as error:
        session.console.warning(f"no log is written: {error}")
        yield None
        return
    try:
        yield log
    finally:
        log.close()
        _limit(session.log_folder)


def _limit(folder: Path) -> None:
    """Remove the oldest logs that no run writes to, or has written to just now."""
    newest_s = time.time() - _YOUNG_S
    # Their names begin with the time.
    names = sorted((path.name for path in folder.glob("*.log")), reverse=True)
    for name in names[MOST_LOGS:]:
        with contextlib.suppress(OSError), (folder / name).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(stream.fileno()).st_mtime > newest_s:
                continue
            (folder / name).unlink()
            (folder / f"{name}{_EARLIER}").unlink(missing_ok=True)


def _drop(data: bytes) -> None:
    """Record nothing."""
