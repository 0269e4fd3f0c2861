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
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from cm4storage.core import lifeline
from cm4storage.core.errors import ExitCode, InternalError, StorageBenchmarkError
from cm4storage.core.waiting import STOP, TURN_S, Terminated
from cm4storage.ranks.messages import Inbox, error_message, send

if TYPE_CHECKING:
    from collections.abc import Callable

L = TypeVar("L", bound="Link")

_LONGEST_END_S: Final = 5.0


class Link:
    """The connection of a local process to the one that started it.

    Attributes
    ----------
    rank, size : int
        Its number, from 0, and how many there are.
    job : Any
        What it was started for.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._inbox = Inbox(connection)
        self._lock = threading.Lock()
        self._poll = select.poll()  # select() cannot wait for descriptors from 1024 on
        self._poll.register(connection, select.POLLIN)
        first = self.receive()
        self.rank, self.size = int(first["rank"]), int(first["size"])
        self.job: Any = first["job"]

    def abort(self, error: StorageBenchmarkError) -> NoReturn:
        """End the run because of an error of this process."""
        self.send(error_message(error))
        raise Terminated

    def finish(self, value: Any) -> None:
        """Say that this process is done, and what it has to say in the end."""
        self.send({"kind": "result", "value": value})

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; from any thread."""
        try:
            with self._lock:
                send(self._connection, message)
        except OSError as error:  # who started us is gone, and with it the run
            raise Terminated from error

    def receive(self) -> dict[str, Any]:
        """Return the next message; a signal ends the wait."""
        while True:
            message = self.receive_soon()
            if message is not None:
                return message

    def receive_soon(self) -> dict[str, Any] | None:
        """Return the next message, or None if none comes within a turn."""
        for message in self._inbox.messages():
            return message
        if not self._poll.poll(TURN_S * 1000):
            STOP.check()
        elif not self._inbox.receive():
            raise Terminated
        return next(self._inbox.messages(), None)


class LocalRank(Link):
    """The communicator of one of several local processes; everything goes through the hub."""

    def barrier(self) -> float | None:
        """Wait for all ranks; see `Communicator.barrier`."""
        begin_s = time.perf_counter()
        self.send({"kind": "barrier"})
        self.receive()
        return time.perf_counter() - begin_s

    def gather(self, value: Any) -> list[Any] | None:
        """Bring all values to rank 0; see `Communicator.gather`."""
        self.send({"kind": "gather", "value": value})
        values: list[Any] | None = self.receive()["values"]
        return values

    def advance(self, units: int) -> None:
        """Tell the hub of progress; from any thread."""
        self.send({"kind": "progress", "units": units})


def serve(descriptor: int, work: Callable[[LocalRank], Any]) -> int:
    """Be a rank: do `work`, and tell the hub what comes of it; return the exit code.

    Parameters
    ----------
    descriptor : int
        The inherited connection to the hub.
    work : callable
        Its result is what the hub gets from this rank.
    """
    return serve_as(LocalRank, descriptor, work)


def serve_as(kind: Callable[[socket.socket], L], descriptor: int, work: Callable[[L], Any]) -> int:
    """Be a process that another one has started; see `serve`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends all
    try:
        STOP.listen(signal.SIGTERM, Terminated)
        lifeline.watch(_end)
        os.set_inheritable(descriptor, False)
        with socket.socket(fileno=descriptor) as connection:
            _serve(kind(connection), work)
    except Terminated:
        return int(ExitCode.TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return int(ExitCode.OK)


def _serve(link: L, work: Callable[[L], Any]) -> None:
    try:
        link.finish(work(link))
    except StorageBenchmarkError as error:
        link.abort(error)
    except Exception as error:  # noqa: BLE001 - shown as a defect of ours
        STOP.check()
        link.abort(_defect(error))


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
