"""A rank that is a process of this machine, seen from inside."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, NoReturn

from cm4storage.core import lifeline
from cm4storage.core.errors import ExitCode, InternalError, StorageBenchmarkError
from cm4storage.core.waiting import STOP, TURN_S, Terminated
from cm4storage.ranks.messages import Inbox, error_message, send

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_END_S: Final = 5.0


class LocalRank:
    """The communicator of one of several local processes; everything goes through the hub."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._inbox = Inbox(connection)
        self._lock = threading.Lock()
        first = self._next()
        self.rank, self.size = int(first["rank"]), int(first["size"])
        self.job: Any = first["job"]

    def barrier(self) -> float | None:
        """Wait for all ranks; see `Communicator.barrier`."""
        begin_s = time.perf_counter()
        self._send({"kind": "barrier"})
        self._next()
        return time.perf_counter() - begin_s

    def gather(self, value: Any) -> list[Any] | None:
        """Bring all values to rank 0; see `Communicator.gather`."""
        self._send({"kind": "gather", "value": value})
        values: list[Any] | None = self._next()["values"]
        return values

    def abort(self, error: StorageBenchmarkError) -> NoReturn:
        """End the run; see `Communicator.abort`."""
        self._send(error_message(error))
        raise Terminated

    def advance(self, units: int) -> None:
        """Tell the hub of progress; from any thread."""
        self._send({"kind": "progress", "units": units})

    def finish(self, value: Any) -> None:
        """Tell the hub that this rank is done, and what it has to say in the end."""
        self._send({"kind": "result", "value": value})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._lock:
                send(self._connection, message)
        except OSError as error:  # the hub is gone, and with it the run
            raise Terminated from error

    def _next(self) -> dict[str, Any]:
        """Return the next message of the hub; a signal ends the wait."""
        while True:
            for message in self._inbox.messages():
                return message
            while not select.select([self._connection], [], [], TURN_S)[0]:
                STOP.check()
            if not self._inbox.receive():
                raise Terminated


def serve(descriptor: int, work: Callable[[LocalRank], Any]) -> int:
    """Be a rank: do `work`, and tell the hub what comes of it; return the exit code.

    Parameters
    ----------
    descriptor : int
        The inherited connection to the hub.
    work : callable
        Its result is what the hub gets from this rank.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it goes to the hub, which ends all ranks
    STOP.listen(signal.SIGTERM, Terminated)
    lifeline.watch(_end)
    os.set_inheritable(descriptor, False)
    try:
        with socket.socket(fileno=descriptor) as connection:
            rank = LocalRank(connection)
            try:
                rank.finish(work(rank))
            except StorageBenchmarkError as error:
                rank.abort(error)
            except Exception as error:  # noqa: BLE001 - the hub shows it as a defect of ours
                STOP.check()
                rank.abort(_defect(error))
    except Terminated:
        return int(ExitCode.TERMINATED)
    return int(ExitCode.OK)


def _end() -> None:
    """End this process, since the hub has gone: in good order, or else after some seconds."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LONGEST_END_S)
    os._exit(int(ExitCode.TERMINATED))


def _defect(error: Exception) -> InternalError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    traceback.print_exception(error, file=sys.stderr)
    return InternalError(
        f"{type(error).__name__}: {error}",
        where=f"{frame.filename}, line {frame.lineno}, in {frame.name}",
        meaning="this is a defect of cm4storage",
    )
