"""SIGINT, SIGTERM and SIGHUP while a run is on: noted at once, acted on where it is safe."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from cm4storage.scripting.failures import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalGuard:
    """Turns the first signal into `Interrupted`, but only inside `interruptible` sections.

    Elsewhere (while a folder is removed, a state file written) the signal waits. Outside the main
    thread, where Python lets nobody set handlers, the guard does nothing.
    """

    def __init__(self) -> None:
        self._pending: int | None = None
        self._may_raise = False
        self._previous: dict[int, Any] = {}
        self.count = 0

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # An ignored signal stays ignored: nohup, or a background job of a script.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self._pending is not None:
            raise Interrupted(self._pending)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal break what runs inside."""
        self.check()
        before = self._may_raise  # a hook may run a script
        self._may_raise = True
        try:
            self.check()
            yield
        finally:
            self._may_raise = before
        self.check()  # what the handler raised may have been swallowed

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what signal prescribes
        self.count += 1
        if self._pending is None:
            self._pending = signum
            if self._may_raise:
                self._may_raise = False
                raise Interrupted(signum)
