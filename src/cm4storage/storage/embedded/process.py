"""The server's process: it dies with the supervisor, and it dies when told to."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from cm4storage.storage.embedded.logs import RedactedLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PR_SET_PDEATHSIG: Final = 1
_TERM_LIMIT_S: Final = 3.0


class ServerKind(Protocol):
    """What a kind of server must tell to be supervised; made anew for each start."""

    @property
    def title(self) -> str:
        """How messages call the service."""

    @property
    def death_signal(self) -> signal.Signals:
        """What the kernel sends the server when its supervisor is killed."""

    @property
    def command(self) -> list[str]:
        """The command line, without credentials."""

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not get into a log."""

    @property
    def access(self) -> dict[str, str]:
        """What users are told."""

    def prepare(self) -> None:
        """Make what must be there before the start."""

    def is_ready(self) -> bool:
        """Tell whether the server does its work."""

    def clean_up(self) -> None:
        """Remove what the stopped server left outside its folder."""


class ServerProcess:
    """A started server whose output goes through a `RedactedLog`.

    Parameters
    ----------
    kind : ServerKind
        What to start.
    folder : Path
        The working directory.
    log : Path
        Where its output goes.
    held_descriptor : int
        A lock that the server holds as long as it lives.
    """

    def __init__(self, kind: ServerKind, folder: Path, log: Path, held_descriptor: int) -> None:
        self._log = RedactedLog(log, kind.secrets)
        self._process = subprocess.Popen(
            kind.command,
            cwd=folder,
            env=kind.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[held_descriptor],
            preexec_fn=_die_with_parent(kind.death_signal),  # noqa: PLW1509 - the supervisor has one thread
        )
        os.set_blocking(self.output, False)

    @property
    def output(self) -> int:
        """The descriptor of its output, for a selector."""
        if self._process.stdout is None:
            raise AssertionError("the output is a pipe")
        return self._process.stdout.fileno()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._process.poll() is not None

    def read_output(self) -> bool:
        """Log what the server has said; False at the end of its output."""
        while True:
            try:
                data = os.read(self.output, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._log.feed(data)

    def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL after 3 s; its output is logged to the end."""
        self._process.terminate()
        deadline = time.monotonic() + _TERM_LIMIT_S
        while not self.has_ended() and time.monotonic() < deadline:
            self.read_output()
            time.sleep(0.01)
        self._process.kill()
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Log the rest of an ended server's output."""
        with contextlib.suppress(OSError):
            self.read_output()
        self._log.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does so that SIGKILL of its parent ends it too, by `death_signal`.

    The signal comes when the parent's thread ends, so only a main thread may start the child.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it was killed before the call above

    return prepare
