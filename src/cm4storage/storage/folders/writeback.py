"""Files that go to the disk while they are being written: the sync at the end has little to do."""

from __future__ import annotations

import ctypes
import functools
from typing import Final, Protocol

from cm4storage.core.units import MIB

_EVERY_BYTES: Final = 16 * MIB
_START_WRITING: Final = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h: starts writing, and does not wait


class Progress(Protocol):
    """Learns how much of a file has been written."""

    def note(self, size_bytes: int) -> None:
        """So many bytes from the start on are in the page cache."""


class LeftToTheKernel:
    """The kernel writes dirty pages back when it likes."""

    def note(self, size_bytes: int) -> None:
        """Do nothing."""


class Writeback:
    """Asks the kernel to write back what has been written so far, again and again.

    Where it does not know the call, nothing happens: the sync at the end counts.

    Parameters
    ----------
    descriptor : int
        The file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._asked_bytes = 0

    def note(self, size_bytes: int) -> None:
        """Ask for what came since the last time, if it is much; see `Progress`."""
        length = size_bytes - self._asked_bytes
        if length >= _EVERY_BYTES:
            start, count = ctypes.c_int64(self._asked_bytes), ctypes.c_int64(length)
            _libc().sync_file_range(self._descriptor, start, count, ctypes.c_uint(_START_WRITING))
            self._asked_bytes = size_bytes


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
