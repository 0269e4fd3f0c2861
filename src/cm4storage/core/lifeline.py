"""The lifeline: helpers of a run end with the run, in whatever way it ends.

The process at the top of a run holds one end of a socket pair; every process that it starts
inherits the other end, whose number stands in the environment variable ``LIFELINE_VARIABLE``.

- The top ends, even by ``kill -9``: the kernel closes its end, and whoever watches the other end
  reads an end of file and stops.
- The top finishes: `Lifeline.release` says so, and then waits until every holder of the other end
  has gone, so that no process of a run outlives the run.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIFELINE_VARIABLE = "MLPERF_STORAGE_LIFELINE_FD"

RELEASE_TIMEOUT_S = 10.0
"""How long the top of a run waits for its helpers to end."""


class Lifeline:
    """The top's side. Pass `child_descriptor` to children (``pass_fds``) with `environment`."""

    def __init__(self) -> None:
        import socket  # what only watches does not need it

        self._top, self._child = socket.socketpair()

    @property
    def child_descriptor(self) -> int:
        """The descriptor that children inherit under the same number."""
        return self._child.fileno()

    def environment(self) -> dict[str, str]:
        """Return the variable that tells children the descriptor's number."""
        return {LIFELINE_VARIABLE: str(self.child_descriptor)}

    def release(self, timeout_s: float = RELEASE_TIMEOUT_S) -> bool:
        """Tell all holders that the run has ended, and wait until they are gone.

        Returns
        -------
        bool
            False if a holder was still there after `timeout_s` seconds.
        """
        import socket

        self._child.close()
        with self._top:
            self._top.shutdown(socket.SHUT_WR)
            self._top.settimeout(timeout_s)
            try:
                return self._top.recv(1) == b""
            except TimeoutError:
                return False


def inherited_descriptor() -> int | None:
    """Return the lifeline's descriptor in a child, or None outside a run."""
    text = os.environ.get(LIFELINE_VARIABLE, "")
    if not text.isdigit():
        return None
    try:
        os.fstat(int(text))
    except OSError:
        return None
    return int(text)


def watch(on_end: Callable[[], None]) -> bool:
    """Call `on_end` from a daemon thread when the run ends before this process does.

    Returns
    -------
    bool
        False when this process is not part of a run.
    """
    descriptor = inherited_descriptor()
    if descriptor is None:
        return False

    def wait() -> None:
        end = os.dup(descriptor)
        try:
            while os.read(end, 1):
                pass
        finally:
            os.close(end)
        on_end()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
    return True
