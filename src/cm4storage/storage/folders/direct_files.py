"""Files read and written past the page cache, by ``O_DIRECT``."""

# Making a Path costs more than reading a small file.
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders.alignment import alignment_of, file_system_of, memory_file_system
from cm4storage.storage.folders.direct_plan import ReadPlan, round_down, round_up
from cm4storage.storage.folders.file_access import (
    MOST_BUFFERS,
    READ_FLAGS,
    check_range,
    check_regular,
    ended_early,
    existing_folder,
    read_fault,
    status_of,
    unfilled,
)
from cm4storage.storage.loans import Loan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.core.errors import StorageBenchmarkError
    from cm4storage.storage.buffers import BufferPool
    from cm4storage.storage.folders.alignment import Alignment

_NOTHING: Final = memoryview(b"")


@dataclass(frozen=True)
class Wish:
    """What asked for direct I/O, and what to write in its place, for errors."""

    name: str
    instead: str


class DirectFiles:
    """Files of a folder that are read past the page cache.

    Parameters
    ----------
    folder : str
        It need not be there yet.
    pool : BufferPool
        The memory that is lent.
    wish : Wish

    Raises
    ------
    UserError
        If the folder's file system keeps files in memory.
    """

    def __init__(self, folder: str, pool: BufferPool, wish: Wish) -> None:
        self.pool = pool
        self._wish = wish
        self._alignments: dict[int, Alignment] = {}
        folder = existing_folder(folder)
        kind = memory_file_system(folder)
        if kind:
            raise UserError(
                f"{wish.name} has no meaning on {kind}: its files are memory",
                where=folder,
                advice=f"keep the data on a disk, or {wish.instead}",
            )

    def read(self, path: str, start: int, length: int | None) -> Loan:
        """Lend a range of a file; see `Store.read`."""
        check_range(start, length)
        return _DirectLoan(self, path, start, length)

    def scatter(self, path: str, buffers: Sequence[memoryview], start: int) -> int:
        """Fill `buffers` from byte `start` on, by one system call; see `Store.scatter`."""
        check_range(start, None)
        descriptor, size_bytes, alignment = self.open(path)
        try:
            end = min(size_bytes, start + sum(buffer.nbytes for buffer in buffers))
            if end <= start:
                return 0
            plan = ReadPlan.of(buffers, start, end, alignment)
            with Room(self.pool, plan.room_bytes, path) as room:
                read_blocks(descriptor, plan.targets(room), plan.first, end, path)
                plan.deal_out(room)
        finally:
            os.close(descriptor)
        return end - start

    def open(self, path: str) -> tuple[int, int, Alignment]:
        """Open a file to read it; return its descriptor, its size, and what it wants."""
        try:
            descriptor = os.open(path, READ_FLAGS | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise read_fault(error, "open the object", path) from error
            check_regular(os.stat(path), path)
            raise self.refusal(path) from error
        status = status_of(descriptor, path)
        try:
            return descriptor, status.st_size, self.alignment(descriptor, status.st_dev, path)
        except BaseException:
            os.close(descriptor)
            raise

    def alignment(self, descriptor: int, device: int, path: str) -> Alignment:
        """Return what an open file on a device wants; the device is asked once."""
        found = self._alignments.get(device) or alignment_of(descriptor)
        if found is None:
            raise self.refusal(path)
        self._alignments[device] = found
        return found

    def refusal(self, path: str) -> StorageBenchmarkError:
        """Return the error for a file system that cannot."""
        return UserError(
            f"the file system {file_system_of(path)} refuses O_DIRECT",
            where=path,
            meaning=f"{self._wish.name} asks for files past the page cache",
            advice=f"keep the data on a file system that can (ext4, xfs), or {self._wish.instead}",
        )


class _DirectLoan(Loan):
    """The context of one read: whole blocks in a buffer, of which the wanted range is lent."""

    __slots__ = ("_files", "_length", "_path", "_start")

    def __init__(self, files: DirectFiles, path: str, start: int, length: int | None) -> None:
        super().__init__(files.pool)
        self._files = files
        self._path = path
        self._start = start
        self._length = length

    def _fill(self) -> memoryview:
        start = self._start
        descriptor, size_bytes, alignment = self._files.open(self._path)
        try:
            end = size_bytes if self._length is None else min(size_bytes, start + self._length)
            if end <= start:
                return self._room(0, self._path)
            first = round_down(start, alignment.block_bytes)
            room = self._room(round_up(end, alignment.block_bytes) - first, self._path)
            read_blocks(descriptor, [room], first, end, self._path)
        finally:
            os.close(descriptor)
        return room[start - first : end - first]


class Room(Loan):
    """Pooled memory for blocks; no buffer is taken for none."""

    __slots__ = ("_path", "_room_bytes")

    def __init__(self, pool: BufferPool, room_bytes: int, path: str) -> None:
        super().__init__(pool)
        self._room_bytes = room_bytes
        self._path = path

    def _fill(self) -> memoryview:
        return self._room(self._room_bytes, self._path) if self._room_bytes else _NOTHING


def read_blocks(
    descriptor: int, targets: Sequence[memoryview], first: int, end: int, path: str
) -> None:
    """Fill `targets` with the blocks from `first` on, up to the one that holds byte `end` - 1."""
    at = first
    while at < end:
        try:
            count = os.preadv(descriptor, targets[:MOST_BUFFERS], at)
        except OSError as error:
            raise file_fault(error, f"read at byte {at}", path) from error
        at += count
        if not count:
            raise ended_early(path, at, end - at)
        if at < end:
            targets = unfilled(targets, count)
