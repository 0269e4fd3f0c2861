"""What goes wrong while recipes run, beyond the errors that the whole project shares."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from cm4storage.core.errors import ExitCode, StorageBenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.scripting.session import Session

_SIGNAL_CAUSES = {
    "SIGKILL": "usually out of memory, or killed by hand",
    "SIGSEGV": "a defect in native code",
    "SIGBUS": "usually a full or failing file system under a mapped file",
    "SIGXFSZ": "a file grew over the limit (ulimit -f)",
    "SIGXCPU": "the limit of CPU time (ulimit -t)",
}


class RecipeFailure(StorageBenchmarkError):
    """A recipe failed.

    Parameters
    ----------
    status : int
        The exit code to end with: the failed process's own, or the one a hook returned.
    details : str
        A traceback for ``-v``; "" if there is none.
    """

    def __init__(
        self,
        what: str,
        *,
        status: int,
        where: str = "",
        meaning: str = "",
        advice: str = "",
        details: str = "",
    ) -> None:
        super().__init__(what, where=where, meaning=meaning, advice=advice)
        self.status = status
        self.details = details


class Interrupted(BaseException):  # like KeyboardInterrupt, not an error
    """The run was asked to stop by a signal; raised only where the engine expects it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        name = signal.Signals(self.signum).name
        return f"stopped by {name}: the run's processes have ended, its temporary files are gone"


@contextlib.contextmanager
def log_named(session: Session) -> Iterator[None]:
    """Add to an error the log of the script that failed, and its last lines where they help."""
    try:
        yield
    except StorageBenchmarkError as error:
        log, session.failed_log = session.failed_log, None
        if log is not None:
            lines = log.last_lines() if _is_output_elsewhere(session) else []
            quoted = "".join(f"\n  | {session.console.shown(line)}" for line in lines)
            shown = f"log: {log.path}{quoted}"
            error.where = f"{error.where}\n{shown}" if error.where else shown
        raise


def _is_output_elsewhere(session: Session) -> bool:
    """Tell whether the reader of an error may not have seen the output just before it."""
    if session.options.wants_json:
        return True
    try:
        return not os.path.sameopenfile(1, 2)
    except OSError:
        return True


def exit_status(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, RecipeFailure):
        return error.status
    if isinstance(error, StorageBenchmarkError):
        return int(error.exit_code)
    if isinstance(error, Interrupted):
        return 128 + error.signum
    if isinstance(error, KeyboardInterrupt):
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.INTERNAL)


def shell_status(returncode: int) -> int:
    """Return a process's exit code as a shell shows it: 128 + n for signal n."""
    return 128 - returncode if returncode < 0 else returncode


def status_text(status: int) -> str:
    """Return an exit code in words.

    >>> status_text(137)
    'killed by SIGKILL (exit code 137)'
    >>> status_text(4)
    'exit code 4'
    """
    name = signal_name(status)
    return f"killed by {name} (exit code {status})" if name else f"exit code {status}"


def status_cause(status: int) -> str:
    """Return the usual cause of an exit code; "" if there is none to name."""
    if status == 127:
        return "a command was not found"
    if status == 126:
        return "a command could not be executed"
    return _SIGNAL_CAUSES.get(signal_name(status), "")


def signal_name(status: int) -> str:
    """Return the name of the signal in an exit code; "" if there is none."""
    if status > 128:
        with contextlib.suppress(ValueError):
            return signal.Signals(status - 128).name
    return ""
