"""What direct I/O on a file wants: the multiples for memory, offsets and lengths.

Source: ``statx(2)``, ``STATX_DIOALIGN`` (Linux 6.1); and ``statfs(2)`` for files that are memory.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATX_DIOALIGN: Final = 0x2000
_AT_EMPTY_PATH: Final = 0x1000
# Where struct statx has its mask, and the two multiples.
_MASK, _MEMORY, _OFFSET = slice(0, 4), slice(0x98, 0x9C), slice(0x9C, 0xA0)
_STRUCT_BYTES: Final = 256
_IN_MEMORY: Final = {0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x958458F6: "hugetlbfs"}


@dataclass(frozen=True, slots=True)
class Alignment:
    """The multiples that direct I/O on a file keeps to.

    Attributes
    ----------
    memory_bytes : int
        Of a buffer's address.
    block_bytes : int
        Of the offset in the file, and of the length.
    """

    memory_bytes: int
    block_bytes: int


DEFAULT: Final = Alignment(4096, 4096)
"""What every device of today is content with."""


def alignment_of(descriptor: int) -> Alignment | None:
    """Return what an open file wants, `DEFAULT` where the kernel does not say.

    None: the file system would accept ``O_DIRECT``, and read and write through the page cache.
    """
    answer = ctypes.create_string_buffer(_STRUCT_BYTES)
    statx = getattr(_libc(), "statx", None)
    if statx is None or statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_DIOALIGN, answer) != 0:
        return DEFAULT
    mask, memory_bytes, block_bytes = (
        int.from_bytes(answer.raw[place], sys.byteorder) for place in (_MASK, _MEMORY, _OFFSET)
    )
    if not mask & _STATX_DIOALIGN:
        return DEFAULT
    return Alignment(memory_bytes, block_bytes) if memory_bytes and block_bytes else None


def memory_file_system(path: str) -> str:
    """Return the name of the file system that keeps the files at `path` in memory, else ''."""
    answer = ctypes.create_string_buffer(_STRUCT_BYTES)
    if _libc().statfs(os.fsencode(path), answer) != 0:
        return ""
    kind = ctypes.c_long.from_buffer(answer).value
    return _IN_MEMORY.get(kind & 0xFFFFFFFF, "")


def file_system_of(path: str) -> str:
    """Return the type of the file system that a path is on, such as ``ext4``; else ``unknown``."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, place, name, *_ = line.split(" ")
        place = place.replace("\\040", " ").rstrip("/")
        if len(place) >= len(best) and (real == place or real.startswith(f"{place}/")):
            best, kind = place, name
    return kind


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
