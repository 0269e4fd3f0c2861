"""A new file written in whole, aligned blocks, past the page cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import MIB
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders.direct_plan import (
    WORTH_BYTES,
    address_of,
    copy,
    round_down,
    round_up,
)
from cm4storage.storage.folders.file_access import unfilled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.storage.folders.alignment import Alignment

STAGING_BYTES: Final = MIB
"""Chunks are gathered up to here."""

# Smaller blocks than a page make file systems read before they write.
_PAGE_BYTES: Final = 4096


class BlockWriter:
    """Writes chunks of any size and place by blocks.

    Chunks whose memory is aligned go from there, the others by way of the staging memory.

    Parameters
    ----------
    descriptor : int
        A new file, open with ``O_DIRECT``.
    staging : memoryview
        Page-aligned, a multiple of the block.
    alignment : Alignment
    path : str
        For errors.
    """

    def __init__(
        self, descriptor: int, staging: memoryview, alignment: Alignment, path: str
    ) -> None:
        self._descriptor = descriptor
        self._staging = staging
        self._memory_bytes = alignment.memory_bytes
        self._block_bytes = round_up(_PAGE_BYTES, alignment.block_bytes)
        self._path = path
        self._filled = 0
        self._written = 0

    def add(self, chunk: memoryview) -> None:
        """Write a chunk, or keep a copy of it for later."""
        if self._may_go_straight(chunk):
            whole = round_down(chunk.nbytes, self._block_bytes)
            self._put([self._staging[: self._filled], chunk[:whole]])
            chunk = chunk[whole:]
        while chunk.nbytes:
            part = chunk[: self._staging.nbytes - self._filled]
            end = self._filled + part.nbytes
            copy(self._staging[self._filled : end], part)
            self._filled = end
            if end == self._staging.nbytes:
                self._put([self._staging])
            chunk = chunk[part.nbytes :]

    def finish(self) -> int:
        """Write what is left, in a whole block that is cut to length; return the file's size."""
        size_bytes = self._written + self._filled
        padded = round_up(self._filled, self._block_bytes)
        self._staging[self._filled : padded] = bytes(padded - self._filled)
        self._put([self._staging[:padded]])
        if self._written != size_bytes:
            try:
                os.ftruncate(self._descriptor, size_bytes)
            except OSError as error:
                raise file_fault(error, "cut the last block", self._path) from error
        return size_bytes

    def _may_go_straight(self, chunk: memoryview) -> bool:
        return (
            chunk.nbytes > WORTH_BYTES
            and not self._filled % self._block_bytes
            and not address_of(chunk) % self._memory_bytes
        )

    def _put(self, buffers: Sequence[memoryview]) -> None:
        left = sum(buffer.nbytes for buffer in buffers)
        while left:
            try:
                count = os.pwritev(self._descriptor, buffers, self._written)
            except OSError as error:
                action = f"write after {self._written} bytes"
                raise file_fault(error, action, self._path) from error
            count = round_down(count, self._block_bytes)
            if not count:
                raise StorageFault(
                    f"only a part of a block could be written after {self._written} bytes",
                    where=self._path,
                    meaning="the file system is full, or a limit is reached",
                )
            self._written += count
            left -= count
            buffers = unfilled(buffers, count) if left else ()
        self._filled = 0
