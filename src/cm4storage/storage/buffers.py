"""Reused read buffers: page-aligned, faulted in once, lent again and again.

The first touch of fresh memory costs more than reading a cached file into it, so a buffer stays
mapped between reads.
"""

from __future__ import annotations

import bisect
import ctypes
import itertools
import mmap
import sys
import threading
from typing import Any, Final

from cm4storage.core.units import GIB, MIB

_STEPS_PER_DOUBLING: Final = 8
_MAX_WASTE: Final = 4
# What `sys.getrefcount` says of an object that only its pool entry and the call itself hold.
_UNSHARED: Final = 2


class Buffer:
    """One block of anonymous memory and the object through which views of it are made."""

    __slots__ = ("capacity_bytes", "last_use", "memory")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.last_use = 0
        mapping = _prefaulted_mapping(capacity_bytes)
        # The array exports the mapping's memory, and its reference count tells whether any view,
        # slice or array made from it is still alive.
        self.memory: Any = (ctypes.c_char * capacity_bytes).from_buffer(mapping)

    def view(self, length_bytes: int) -> memoryview:
        """Return a byte view of the first `length_bytes`."""
        return memoryview(self.memory).cast("B")[:length_bytes]

    def is_shared(self) -> bool:
        """Tell whether a view of the memory outlived its loan."""
        return sys.getrefcount(self.memory) > _UNSHARED


class BufferPool:
    """Lends buffers to threads and keeps those that come back.

    Parameters
    ----------
    max_free_bytes : int
        How much memory idle buffers may hold; the ones unused for longest go first.
    """

    def __init__(self, max_free_bytes: int = GIB) -> None:
        self._max_free_bytes = max_free_bytes
        self._free: list[Buffer] = []
        self._free_bytes = 0
        self._clock = itertools.count()
        self._lock = threading.Lock()

    def acquire(self, length_bytes: int) -> Buffer:
        """Return a buffer of at least `length_bytes`, a pooled one where one fits."""
        with self._lock:
            place = bisect.bisect_left(self._free, length_bytes, key=_capacity_bytes)
            if place < len(self._free) and _fits(self._free[place], length_bytes):
                buffer = self._free.pop(place)
                self._free_bytes -= buffer.capacity_bytes
                return buffer
        return Buffer(_size_class_bytes(length_bytes))

    def release(self, buffer: Buffer) -> None:
        """Take a buffer back; one that someone still looks at is left to that view."""
        if buffer.is_shared():
            return
        with self._lock:
            buffer.last_use = next(self._clock)
            bisect.insort(self._free, buffer, key=_capacity_bytes)
            self._free_bytes += buffer.capacity_bytes
            while self._free_bytes > self._max_free_bytes:
                self._drop_oldest()

    def clear(self) -> None:
        """Give all idle buffers back to the system."""
        with self._lock:
            self._free.clear()
            self._free_bytes = 0

    @property
    def free_bytes(self) -> int:
        """The memory that idle buffers hold."""
        return self._free_bytes

    def _drop_oldest(self) -> None:
        oldest = min(self._free, key=lambda buffer: buffer.last_use)
        self._free.remove(oldest)
        self._free_bytes -= oldest.capacity_bytes


def _capacity_bytes(buffer: Buffer) -> int:
    return buffer.capacity_bytes


def _fits(buffer: Buffer, length_bytes: int) -> bool:
    return buffer.capacity_bytes <= max(MIB, _MAX_WASTE * length_bytes)


def _size_class_bytes(length_bytes: int) -> int:
    """Round up to whole pages and to one of eight sizes per doubling, so that buffers recur."""
    step = max(mmap.PAGESIZE, (1 << max(length_bytes, 1).bit_length()) // (2 * _STEPS_PER_DOUBLING))
    return max(1, -(-length_bytes // step)) * step


def _prefaulted_mapping(capacity_bytes: int) -> mmap.mmap:
    populate = getattr(mmap, "MAP_POPULATE", 0)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | populate
    mapping = mmap.mmap(-1, capacity_bytes, flags=flags)
    if not populate:
        for offset in range(0, capacity_bytes, mmap.PAGESIZE):
            mapping[offset] = 0
    return mapping
