"""What run.sh prints: on to the terminal at once, and into a log, without secrets.

A process whose output would have gone to a terminal still sees one (a pseudo-terminal of the same
size), so that it draws progress bars and colours as ever. Where stdout and stderr are one place,
they share one channel and keep their order; else each has its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import math
import os
import select
import selectors
import struct
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Final

from cm4storage.core.records import dataclass
from cm4storage.core.waiting import TURN_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.scripting.console import Secrets

_CHUNK_BYTES: Final = 1 << 16
_PROMPT_WAIT_S: Final = 0.2
_CLOSE_PATIENCE_S: Final = 1.0
_MOST_REST_BYTES: Final = 1 << 21
_LONGEST_HELD_BYTES: Final = 1 << 16
_SIZE: Final = struct.Struct("HHHH")


class Redactor:
    """Takes secrets out of a stream of bytes, wherever the stream is cut into pieces.

    Whole lines pass at once. Of an unfinished line, only what may turn out to be the beginning of
    a secret is held back.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = b""

    @property
    def is_holding(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """Return what may pass after `data` has come."""
        data = self._held + data
        cut = len(data) - self._secrets.unfinished_bytes(data)
        if len(data) - cut > _LONGEST_HELD_BYTES:
            cut = len(data)
        self._held = data[cut:]
        return self._secrets.shown_bytes(data[:cut])

    def rest(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held, b""
        return self._secrets.shown_bytes(held)


@dataclass
class _Channel:
    """One way out of the process: what it writes to `child` is read from `source`."""

    source: int
    child: int
    target: int
    is_terminal: bool
    redactor: Redactor
    recorded: Redactor
    window: bytes = b""

    def show(self, data: bytes) -> None:
        """Write to the target; once nobody reads there, stop reading, as a pipeline would."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.target, view) :]
            except BlockingIOError:  # another program has made the pipe so
                poll = select.poll()
                poll.register(self.target, select.POLLOUT)
                poll.poll()


class Relay:
    """Carries one process's output.

    Parameters
    ----------
    secrets : Secrets
        What must not pass.
    record : callable
        Gets every piece that is shown, for the log.
    stdout_target : int
        The descriptor that the process's stdout leads to; its stderr leads to 2.
    """

    def __init__(
        self, secrets: Secrets, record: Callable[[bytes], None], stdout_target: int
    ) -> None:
        self._record = record
        hold_standard_streams()
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._wake = os.pipe()
        self._channels = list(_open_channels(secrets, stdout_target))
        self._drained = threading.Event()
        self._is_ending = False
        self._group = 0
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    @property
    def stdout(self) -> int:
        """The descriptor for the process's stdout."""
        return self._channels[0].child

    @property
    def stderr(self) -> int:
        """The descriptor for the process's stderr."""
        return self._channels[-1].child

    def begin(self, group: int) -> None:
        """Carry from now on; the process `group` holds its ends."""
        self._group = group
        self._close_child_ends()
        self._thread.start()

    def close(self) -> None:
        """Carry no longer, whether the process was started or not; what is left has a second."""
        if self._group:
            self.finish(_CLOSE_PATIENCE_S)
            os.close(self._wake)  # only now: the thread may be gone before we write to it
            return
        self._close_child_ends()
        for descriptor in (self._wake, self._wake_end, *(c.source for c in self._channels)):
            os.close(descriptor)

    def finish(self, patience_s: float = math.inf) -> None:
        """Pass on what the process has left in its channels when it ended.

        A process of another session may still hold them. It is not waited for; what it writes is
        carried on until this process ends, and not recorded.

        Parameters
        ----------
        patience_s : float
            How long to wait for a terminal that takes nothing.
        """
        if self._drained.is_set():
            return
        self._is_ending = True
        with contextlib.suppress(OSError):  # it may have ended by itself
            os.write(self._wake, b"x")
        deadline_s = time.monotonic() + patience_s
        while not self._drained.wait(TURN_S) and time.monotonic() < deadline_s:
            pass

    def _close_child_ends(self) -> None:
        for descriptor in {channel.child for channel in self._channels}:
            os.close(descriptor)

    def _run(self) -> None:
        for channel in self._channels:
            os.set_blocking(channel.source, False)
            self._selector.register(channel.source, selectors.EVENT_READ, channel)
        self._selector.register(self._wake_end, selectors.EVENT_READ)
        try:
            self._carry()
            for channel in self._open():
                self._drain(channel)
        finally:
            self._record = _forget
            self._drained.set()
        self._selector.unregister(self._wake_end)
        os.close(self._wake_end)
        while self._open():
            self._turn(None)
        self._selector.close()

    def _carry(self) -> None:
        """Pass on until the process has ended, or has closed all its ends."""
        checked_s = 0.0
        while not self._is_ending:
            self._turn(_PROMPT_WAIT_S if self._holds_prompt() else TURN_S)
            if time.monotonic() - checked_s > TURN_S:
                checked_s = time.monotonic()
                self._pass_on_size()

    def _turn(self, timeout_s: float | None) -> None:
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            if key.data is not None:
                self._read(key.data)
        if not ready:
            for channel in self._open():
                if channel.is_terminal:  # somebody may be waiting for a prompt
                    self._show(channel, channel.redactor.rest())

    def _open(self) -> list[_Channel]:
        keys = self._selector.get_map().values()
        return [key.data for key in keys if key.data is not None]

    def _holds_prompt(self) -> bool:
        return any(c.is_terminal and c.redactor.is_holding for c in self._open())

    def _read(self, channel: _Channel) -> int:
        """Read once; return the number of bytes, 0 where nothing is to be had."""
        try:
            data = os.read(channel.source, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # a pseudo-terminal whose other end is closed
            data = b""
        if data:
            self._record(channel.recorded.feed(data))
            self._show(channel, channel.redactor.feed(data))
        else:
            self._close(channel)
        return len(data)

    def _drain(self, channel: _Channel) -> None:
        left = _MOST_REST_BYTES
        while left > 0 and (count := self._read(channel)):
            left -= count
        self._record(channel.recorded.rest())
        self._show(channel, channel.redactor.rest())

    def _show(self, channel: _Channel, data: bytes) -> None:
        if data:
            try:
                channel.show(data)
            except OSError:
                self._close(channel)

    def _close(self, channel: _Channel) -> None:
        if channel in self._open():
            self._selector.unregister(channel.source)
            os.close(channel.source)
            self._record(channel.recorded.rest())
            with contextlib.suppress(OSError):
                channel.show(channel.redactor.rest())

    def _pass_on_size(self) -> None:
        """Tell the process of a change of the window's size, as a terminal would."""
        from signal import SIGWINCH

        for channel in self._open():
            size = _window_size(channel.target) if channel.is_terminal else b""
            if size and size != channel.window:
                channel.window = size
                _set_window_size(channel.source, size)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._group, SIGWINCH)


def hold_standard_streams() -> None:
    """Let standard streams that are closed lead to nowhere.

    What was open in their place when the program started may have been closed since then. A pipe of
    ours must not take such a number: we would write to ourselves, or to its wrong end.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(descriptor, True)


def is_one_place(first: int, second: int) -> bool:
    """Tell whether two descriptors lead to the same file, pipe or terminal."""
    try:
        return os.path.sameopenfile(first, second)
    except OSError:
        return False


def _open_channels(secrets: Secrets, stdout_target: int) -> Iterator[_Channel]:
    yield _channel(stdout_target, secrets)
    if not is_one_place(stdout_target, 2):
        yield _channel(2, secrets)


@functools.cache
def _nowhere() -> int:
    """Return a descriptor that leads nowhere and has no standard stream's number."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        if descriptor > 2:  # a lower one holds the place of a closed stream
            os.close(descriptor)


def _lasting(target: int) -> int:
    """Return `target`; not the number of a stream that was closed when the program started.

    Another file may have that number for a while, and with it would go the way out.
    """
    was_closed = {1: sys.__stdout__ is None, 2: sys.__stderr__ is None}
    return _nowhere() if was_closed.get(target, False) else target


def _channel(target: int, secrets: Secrets) -> _Channel:
    target = _lasting(target)
    if not os.isatty(target):
        source, child = os.pipe()
        return _Channel(source, child, target, False, Redactor(secrets), Redactor(secrets))
    source, child = os.openpty()
    attributes = termios.tcgetattr(child)
    attributes[1] &= ~termios.OPOST  # line ends are the real terminal's business
    termios.tcsetattr(child, termios.TCSANOW, attributes)
    size = _window_size(target)
    _set_window_size(source, size)
    return _Channel(source, child, target, True, Redactor(secrets), Redactor(secrets), size)


def _window_size(descriptor: int) -> bytes:
    with contextlib.suppress(OSError):
        return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(_SIZE.size))
    return b""


def _set_window_size(descriptor: int, size: bytes) -> None:
    if size:
        with contextlib.suppress(OSError):
            fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)


def _forget(data: bytes) -> None:
    """Record nothing any more."""
