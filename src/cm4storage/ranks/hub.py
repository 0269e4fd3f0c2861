"""The process that starts the ranks of one machine, and that all their messages go through."""

from __future__ import annotations

import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cm4storage
from cm4storage.core.errors import ExitCode, InternalError, StorageBenchmarkError
from cm4storage.core.lifeline import Lifeline
from cm4storage.core.waiting import STOP, TURN_S
from cm4storage.ranks.messages import Inbox, error_of, send

if TYPE_CHECKING:
    from collections.abc import Callable

_END_S: Final = 5.0
"""How long a rank may take to end when it is told to, and to be gone when its connection ends."""

_OTHER_FILES: Final = 200


class RankDied(StorageBenchmarkError):
    """A rank's process ended without a word."""

    exit_code = ExitCode.TERMINATED


class _Rank:
    """One rank, seen from the hub."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.process = process
        self.connection = connection
        self.inbox = Inbox(connection)
        self.waits_in: dict[str, Any] | None = None
        self.result: Any = None
        self.is_done = False


class Hub:
    """Starts ranks, connects them, and ends them all when one of them fails.

    A context: at its end no rank is left. When the hub's process dies, in whatever way, the ranks
    see it by their lifeline and end, too.

    Parameters
    ----------
    module : str
        What ``python -m`` runs for a rank; it calls `cm4storage.ranks.local_rank.serve` with the
        descriptor in its ``--connection=N``.
    size : int
        How many ranks.
    job : Any
        What each of them is told first, as JSON.
    """

    def __init__(self, module: str, size: int, job: Any) -> None:
        self._module = module
        self._size = size
        self._job = job
        self._ranks: list[_Rank] = []
        self._lifeline = Lifeline()

    def __enter__(self) -> Hub:
        _allow_descriptors(self._size + _OTHER_FILES)
        try:
            for number in range(self._size):
                self._start(number)
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()

    def run(self, advance: Callable[[int], None]) -> list[Any]:
        """Serve the ranks until all are done; return their results in order.

        Parameters
        ----------
        advance : callable
            Gets the progress of all ranks.

        Raises
        ------
        StorageBenchmarkError
            The first error of a rank, or the death of one; it names the rank.
        """
        with selectors.DefaultSelector() as selector:
            for number, rank in enumerate(self._ranks):
                selector.register(rank.connection, selectors.EVENT_READ, number)
            while not all(rank.is_done for rank in self._ranks):
                for key, _ in selector.select(TURN_S):
                    if not self._ranks[key.data].inbox.receive():
                        selector.unregister(key.fileobj)
                        self._require_done(key.data)
                    self._take(key.data, advance)
                STOP.check()
        return [rank.result for rank in self._ranks]

    def _start(self, number: int) -> None:
        """Start a rank. One that an interrupt keeps out of our list has the lifeline, too."""
        ours, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), self._lifeline.child_descriptor]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", self._module, f"--connection={theirs.fileno()}"],
                stdin=subprocess.DEVNULL,
                cwd="/",  # where no module can be mistaken for one of ours
                env=_environment() | self._lifeline.environment(),
                pass_fds=descriptors,
            )
            self._ranks.append(_Rank(process, ours))
        self._tell(number, {"rank": number, "size": self._size, "job": self._job})

    def _tell(self, number: int, message: dict[str, Any]) -> None:
        try:
            send(self._ranks[number].connection, message)
        except OSError as error:
            raise self._death(number) from error

    def _take(self, number: int, advance: Callable[[int], None]) -> None:
        rank = self._ranks[number]
        for message in rank.inbox.messages():
            kind = message["kind"]
            if kind == "error":
                raise error_of(message, self._name(number))
            if kind == "progress":
                advance(int(message["units"]))
            elif kind == "result":
                rank.result, rank.is_done = message["value"], True
            else:
                rank.waits_in = message
        self._let_go()

    def _let_go(self) -> None:
        """Answer the ranks where all of them wait for each other."""
        waiting = [rank.waits_in for rank in self._ranks if rank.waits_in is not None]
        if not waiting or len(waiting) + sum(rank.is_done for rank in self._ranks) < self._size:
            return
        kinds = {message["kind"] for message in waiting}
        if len(waiting) < self._size or len(kinds) > 1:
            raise InternalError(f"some ranks wait in {', '.join(sorted(kinds))}, others do not")
        values = [message.get("value") for message in waiting]
        for number, rank in enumerate(self._ranks):
            rank.waits_in = None
            self._tell(number, {"values": values if number == 0 else None})

    def _require_done(self, number: int) -> None:
        """Refuse the end of a rank that has not told its result."""
        rank = self._ranks[number]
        for message in rank.inbox.messages():
            if message["kind"] == "error":
                raise error_of(message, self._name(number))
            if message["kind"] == "result":
                rank.result, rank.is_done = message["value"], True
        if not rank.is_done:
            raise self._death(number)

    def _death(self, number: int) -> StorageBenchmarkError:
        try:
            code = self._ranks[number].process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = 0
        if code < 0:
            how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        else:
            how = f"ended with exit code {code}"
        return RankDied(
            f"{self._name(number)} {how}; all others were ended",
            meaning="a run goes on only with all of its ranks",
            advice="look for the cause in the lines above, or in the kernel's log: "
            "SIGKILL is what it sends when memory is short",
        )

    def _name(self, number: int) -> str:
        return f"rank {number} of {self._size}"

    def _end_all(self) -> None:
        """Ask all that are left to end, and after some seconds make them."""
        for rank in self._ranks:
            if not rank.is_done:
                rank.process.terminate()
        until_s = time.monotonic() + _END_S
        for rank in self._ranks:
            try:
                rank.process.wait(max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                rank.process.kill()
                rank.process.wait()
            rank.connection.close()
        self._lifeline.release()


def _allow_descriptors(count: int) -> None:
    """Raise this process's limit of open files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _environment() -> dict[str, str]:
    """Return our environment, in which a rank finds the same source as we run."""
    root = Path(cm4storage.__file__).resolve().parents[1]
    variables = dict(os.environ)
    if root.name not in ("site-packages", "dist-packages"):
        known = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{root}{os.pathsep}{known}" if known else str(root)
    return variables
