"""A signal ends every wait of the step loop, even one that the kernel gave to another thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cm4storage.core.waiting import pause
from cm4storage.loader.slots import BatchShape, BatchSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class StopNowError(Exception):
    """What the handler raises."""


@pytest.fixture
def signal_to_another_thread() -> Iterator[None]:
    """Send a signal, soon, to a thread that is not the main one."""

    def stop(*_: object) -> None:
        raise StopNowError

    previous = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    timer.start()
    yield
    timer.join()
    signal.signal(signal.SIGUSR1, previous)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("signal_to_another_thread")
@pytest.mark.parametrize(
    "wait",
    [lambda: pause(3600), lambda: BatchSlots(2, BatchShape(1, (8,))).take(0)],
    ids=["compute", "batch"],
)
def test_a_signal_ends_the_wait(wait: Callable[[], object]) -> None:
    with pytest.raises(StopNowError, match=r"^$"):
        wait()


def test_a_pause_is_never_shorter_than_asked() -> None:
    for asked_s in (0.0, -1.0, 0.001, 0.3, 0.6):
        begin_s = time.perf_counter()
        pause(asked_s)
        assert time.perf_counter() - begin_s >= asked_s


SWALLOWING = """
import signal, sys, threading
from cm4storage.core.waiting import STOP, pause
from cm4storage.loader.slots import BatchSlots, BatchShape
from cm4storage.storage import interruptible
class Stopped(BaseException):
    pass
STOP.listen(signal.SIGTERM, Stopped)
try:
    signal.raise_signal(signal.SIGTERM)
except Stopped:
    pass  # as the import of a compiled module does
waits = {
    "compute": lambda: pause(3600),
    "batch": lambda: BatchSlots(2, BatchShape(1, (8,))).take(0),
    "request": lambda: interruptible.call(threading.Event().wait),
}
try:
    waits[sys.argv[1]]()
except Stopped:
    print("stopped")
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("wait", ["compute", "batch", "request"])
def test_a_stop_that_a_library_swallowed_is_raised_again(wait: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", SWALLOWING, wait], capture_output=True, text=True, check=True
    )
    assert said.stdout == "stopped\n"
