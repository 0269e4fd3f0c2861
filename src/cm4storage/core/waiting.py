"""Waits of the main thread that a signal always ends.

Python runs a signal's handler in the main thread, between two steps of it. The system call that
the main thread waits in is broken off only if the signal came to that thread while it was waiting:
a signal that comes to another thread, or an instant before the call, leaves it to its whole wait.
So no wait is longer than a turn.

Nor can a handler rely on what it raises: the import of a compiled module, for one, may swallow
any exception and go on. So the request to stop is noted, too, and raised again after each turn.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import FrameType

T = TypeVar("T")

TURN_S: Final = 0.25


class Terminated(BaseException):
    """SIGTERM came, or the run that this process belongs to has ended."""


class StopRequest:
    """What a signal has asked of this process; there is one, `STOP`."""

    def __init__(self) -> None:
        self._kinds: dict[int, type[BaseException]] = {}
        self._error: type[BaseException] | None = None

    def listen(self, number: int, error: type[BaseException]) -> None:
        """Raise `error` in the main thread when the signal comes, and at each `check` after it.

        A second SIGTERM is not raised, since the end of a run sends it, too; a second SIGINT is.
        """
        self._kinds[number] = error
        signal.signal(number, self._handle)

    @property
    def is_asked(self) -> bool:
        """Tell whether a signal has come."""
        return self._error is not None

    def check(self) -> None:
        """Raise if a signal has come."""
        if self._error is not None:
            raise self._error

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what signal prescribes
        is_first = self._error is None
        self._error = self._error or self._kinds[number]
        if is_first or number == signal.SIGINT:
            raise self._error


STOP: Final = StopRequest()


def pause(duration_s: float) -> None:
    """Sleep for `duration_s` seconds; a signal's handler runs within `TURN_S`."""
    end_s = time.perf_counter() + duration_s
    while duration_s > TURN_S:
        time.sleep(TURN_S)
        STOP.check()
        duration_s = end_s - time.perf_counter()
    if duration_s > 0:
        time.sleep(duration_s)
    STOP.check()


def wait_for(changed: threading.Condition, condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; `changed` is held, and is notified of every change."""
    while not condition():
        changed.wait(TURN_S)
        STOP.check()


def result_of(future: Future[T]) -> T:
    """Wait for a task of another thread, and return its result or raise its error."""
    from concurrent.futures import TimeoutError as NotDone

    while True:
        try:
            return future.result(TURN_S)
        except NotDone:
            if future.done():  # it is the task's own
                raise
            STOP.check()
