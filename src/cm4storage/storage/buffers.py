"""Reused read buffers: page-aligned, faulted in once, lent again and again.

The first touch of fresh memory costs more than reading a cached file into it, so a buffer stays
mapped between reads.

A reader often drops its last slice of a buffer just after the loan has ended. Such a buffer waits
aside, and is lent again once nothing looks at it any more.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import itertools
import mmap
import sys
import threading
from collections import deque
from typing import Any, Final

from cm4storage.core.units import GIB, MIB

_STEPS_PER_DOUBLING: Final = 8
_MAX_WASTE: Final = 4
# What `sys.getrefcount` says of an object that only its pool entry and the call itself hold.
_UNSHARED: Final = 2
# Buffers that wait for the end of the last view: as many as a process may have reader threads, and
# few looked at per use, so that views that are kept for good do not slow down every read.
_MAX_WAITING: Final = 256
_LOOKS_PER_USE: Final = 8


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

    Attributes
    ----------
    mapped_count : int
        How many buffers were mapped so far, for tests and measurements.
    """

    def __init__(self, max_free_bytes: int = GIB) -> None:
        self._max_free_bytes = max_free_bytes
        self._free: list[Buffer] = []
        self._free_bytes = 0
        self._waiting: deque[Buffer] = deque()
        self._waiting_bytes = 0
        self._clock = itertools.count()
        self.mapped_count = 0
        self._lock = threading.Lock()

    def acquire(self, length_bytes: int) -> Buffer:
        """Return a buffer of at least `length_bytes`, a pooled one where one fits."""
        with self._lock:
            if self._waiting:
                self._look_after_waiting()
            place = bisect.bisect_left(self._free, length_bytes, key=_capacity_bytes)
            if place < len(self._free) and _fits(self._free[place], length_bytes):
                buffer = self._free.pop(place)
                self._free_bytes -= buffer.capacity_bytes
                return buffer
            self.mapped_count += 1
        return Buffer(_size_class_bytes(length_bytes))

    def release(self, buffer: Buffer) -> None:
        """Take a buffer back; one that someone still looks at waits until nobody does."""
        with self._lock:
            if buffer.is_shared():
                self._let_wait(buffer)
            else:
                self._keep(buffer)
            if self._free_bytes + self._waiting_bytes > self._max_free_bytes:
                self._limit_memory()

    def clear(self) -> None:
        """Give all idle buffers back to the system."""
        with self._lock:
            self._free.clear()
            self._waiting.clear()
            self._free_bytes = self._waiting_bytes = 0

    @property
    def free_bytes(self) -> int:
        """The memory that idle buffers hold."""
        with self._lock:
            self._look_after_waiting()
            return self._free_bytes

    def _keep(self, buffer: Buffer) -> None:
        buffer.last_use = next(self._clock)
        bisect.insort(self._free, buffer, key=_capacity_bytes)
        self._free_bytes += buffer.capacity_bytes

    def _let_wait(self, buffer: Buffer) -> None:
        self._waiting.append(buffer)
        self._waiting_bytes += buffer.capacity_bytes
        if len(self._waiting) > _MAX_WAITING:
            self._forget_longest_waiting()

    def _look_after_waiting(self) -> None:
        """Make those free that nobody looks at any more; no view can appear out of nothing."""
        for _ in range(min(len(self._waiting), _LOOKS_PER_USE)):
            buffer = self._waiting.popleft()
            if buffer.is_shared():
                self._waiting.append(buffer)
            else:
                self._waiting_bytes -= buffer.capacity_bytes
                self._keep(buffer)

    def _limit_memory(self) -> None:
        """Let buffers go until all that are kept here are within the limit."""
        while self._free and self._free_bytes + self._waiting_bytes > self._max_free_bytes:
            self._drop_oldest()
        while self._waiting_bytes > self._max_free_bytes:
            self._forget_longest_waiting()

    def _forget_longest_waiting(self) -> None:
        """Leave a buffer to the views of it; the memory goes with the last of them."""
        self._waiting_bytes -= self._waiting.popleft().capacity_bytes

    def _drop_oldest(self) -> None:
        oldest = min(self._free, key=lambda buffer: buffer.last_use)
        self._free.remove(oldest)
        self._free_bytes -= oldest.capacity_bytes


def give_back(pool: BufferPool, buffer: Buffer, *views: memoryview) -> None:
    """End a loan: release its views, and return the buffer, which waits if one is still used."""
    for view in reversed(views):
        with contextlib.suppress(BufferError):  # an array still looks at it
            view.release()
    pool.release(buffer)


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
