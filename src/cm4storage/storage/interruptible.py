"""Blocking calls of libraries that signals cannot interrupt.

A client that waits in the main thread, in compiled code, for a silent service holds up Ctrl-C and
SIGTERM until it gives up.
"""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from cm4storage.core.waiting import STOP, TURN_S

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def call(function: Callable[[], T], on_abandon: Callable[[], None] | None = None) -> T:
    """Return ``function()``; in the main thread wait for it so that a signal's handler can run.

    Parameters
    ----------
    function : callable
        The call. When a handler raises, it is left to itself in a daemon thread.
    on_abandon : callable, optional
        Called then, to tell `function` that nobody wants its result any more.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return function()
    task = _Task(function)
    try:
        # What `threading` waits with becomes another error where a signal's handler raises in it.
        _thread.start_new_thread(task.run, ())
        while not task.running.acquire(timeout=TURN_S):
            STOP.check()
    except BaseException:
        if on_abandon is not None:
            on_abandon()
        raise
    if task.error is not None:
        raise task.error
    return task.results.pop()


class _Task(Generic[T]):
    """A call in another thread, and what came of it."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.results: list[T] = []
        self.error: BaseException | None = None
        self.running = _thread.allocate_lock()
        self.running.acquire()

    def run(self) -> None:
        try:
            self.results.append(self._function())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error
        finally:
            self.running.release()
