"""Blocking calls of libraries that signals cannot interrupt.

A client that waits in the main thread, in compiled code, for a silent service holds up Ctrl-C and
SIGTERM until it gives up.
"""

from __future__ import annotations

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
    if threading.current_thread() is not threading.main_thread():
        return function()
    task = _Task(function)
    try:
        threading.Thread(target=task.run, name="blocking-call", daemon=True).start()
        while not task.done.wait(TURN_S):
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
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self.results.append(self._function())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error
        finally:
            self.done.set()
