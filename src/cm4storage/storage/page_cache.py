"""The page cache of local files: what share of a file is in it, and taking a file out of it.

Needs no root. A page leaves the cache only when it is clean and nobody maps it; so a file is
written back first. Whether pages are resident is asked by ``cachestat`` (Linux 6.5), else by
``mincore``, which tells the truth only of files that the caller may write or owns.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_CACHESTAT: Final = 451  # the same on every architecture
_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


@runtime_checkable
class LocalFiles(Protocol):
    """A store whose objects are files of this machine."""

    def local_path(self, key: str) -> str:
        """Return the path of an object."""


@dataclass(frozen=True)
class Residency:
    """How much of some files is in the page cache.

    Attributes
    ----------
    resident_bytes, total_bytes : int
        In whole pages, and of as many files as were looked at.
    files : int
    """

    resident_bytes: int
    total_bytes: int
    files: int

    @property
    def fraction(self) -> float | None:
        """The resident share, 0 to 1; None where there is nothing."""
        return self.resident_bytes / self.total_bytes if self.total_bytes else None


def evict(paths: Iterable[str]) -> None:
    """Take files out of the page cache, as far as the kernel lets go of them.

    Files that cannot be opened are left out: whoever reads them next meets the error.

    Raises
    ------
    OSError
        If one cannot be written back.
    """
    for path in paths:
        try:
            descriptor = os.open(path, _READ_FLAGS)
        except OSError:
            continue
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def residency(paths: Iterable[str]) -> Residency:
    """Return how much of some files is resident; files that cannot be opened are left out."""
    resident = total = files = 0
    for path in paths:
        try:
            descriptor = os.open(path, _READ_FLAGS)
        except OSError:
            continue
        try:
            size_bytes = os.fstat(descriptor).st_size
            resident += _resident_pages(descriptor, size_bytes) * mmap.PAGESIZE
            total += -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
            files += 1
        finally:
            os.close(descriptor)
    return Residency(resident, total, files)


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _CacheStat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int),
        ctypes.c_long,
    )
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return libc


def _resident_pages(descriptor: int, size_bytes: int) -> int:
    if size_bytes == 0:
        return 0
    stat, whole = _CacheStat(), _Range(0, 0)
    number = ctypes.c_long(_CACHESTAT)
    if _libc().syscall(number, descriptor, ctypes.byref(whole), ctypes.byref(stat), 0) == 0:
        return int(stat.cached)
    return _resident_by_mincore(descriptor, size_bytes)


def _resident_by_mincore(descriptor: int, size_bytes: int) -> int:
    libc, pages = _libc(), -(-size_bytes // mmap.PAGESIZE)
    address = libc.mmap(None, size_bytes, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        return 0
    try:
        vector = (ctypes.c_ubyte * pages)()
        if libc.mincore(address, size_bytes, vector) != 0:
            return 0
        return sum(byte & 1 for byte in bytes(vector))
    finally:
        libc.munmap(address, size_bytes)
