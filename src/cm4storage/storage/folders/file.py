"""Objects as files below a folder, moved by plain system calls through the page cache."""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Final

from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders.file_access import (
    MOST_BUFFERS,
    check_range,
    check_regular,
    ended_early,
    open_to_read,
    open_unseen,
    unfilled,
)
from cm4storage.storage.folders.folder import FolderStore
from cm4storage.storage.folders.writeback import LeftToTheKernel, Writeback
from cm4storage.storage.loans import Loan

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from cm4storage.storage.buffers import BufferPool
    from cm4storage.storage.folders.writeback import Progress

_SIZE_BYTES: Final = attrgetter("nbytes")
_PAGE_BYTES: Final = 4096
_SMALL_CHUNK_BYTES: Final = _PAGE_BYTES
_MOST_SMALL_BYTES: Final = 65536


class FileStore(FolderStore):
    """A `Store` over a folder; see `FolderStore` for its parameters."""

    scheme: ClassVar[str] = "file"

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> _Loan:
        """Lend a range of a file in a pooled buffer; see `Store.read`."""
        check_range(start, length)
        return _Loan(self._pool, self._path(key), start, length)

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on; see `Store.read_into`."""
        check_range(start, None)
        path = self._path(key)
        descriptor, size_bytes = open_to_read(path)
        try:
            wanted = min(buffer.nbytes, max(0, size_bytes - start))
            return _read_fully(descriptor, buffer.cast("B")[:wanted], start, path)
        finally:
            os.close(descriptor)

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` from byte `start` on by one system call; see `Store.scatter`."""
        check_range(start, None)
        path = self._path(key)
        descriptor = open_unseen(path)
        try:
            return _read_scattered(descriptor, buffers, start, path)
        finally:
            os.close(descriptor)

    def read_steps(
        self, key: str, steps: Iterable[Sequence[memoryview]], *, start: int = 0
    ) -> Generator[int, None, None]:
        """Fill the buffers of each step by one system call; see `ReadsInSteps`."""
        check_range(start, None)
        path = self._path(key)
        descriptor = open_unseen(path)
        try:
            for buffers in steps:
                count = _read_scattered(descriptor, buffers, start, path)
                yield count
                start += count
        finally:
            os.close(descriptor)

    def _write_chunks(self, descriptor: int, chunks: Iterable[memoryview], path: str) -> int:
        progress = Writeback(descriptor) if self._fsync else LeftToTheKernel()
        return _write_chunks(descriptor, chunks, path, progress)


class _Loan(Loan):
    """The context of one `FileStore.read`."""

    __slots__ = ("_length", "_path", "_start")

    def __init__(self, pool: BufferPool, path: str, start: int, length: int | None) -> None:
        super().__init__(pool)
        self._path = path
        self._start = start
        self._length = length

    def _fill(self) -> memoryview:
        descriptor, size_bytes = open_to_read(self._path)
        try:
            available = max(0, size_bytes - self._start)
            wanted = available if self._length is None else min(self._length, available)
            view = self._room(wanted, self._path)
            _read_fully(descriptor, view, self._start, self._path)
        finally:
            os.close(descriptor)
        return view


def _read_fully(descriptor: int, view: memoryview, start: int, path: str) -> int:
    """Fill `view` from `start`; a file that ends before that has changed under us."""
    done = 0
    total = view.nbytes
    while done < total:
        try:
            count = os.preadv(descriptor, [view[done:] if done else view], start + done)
        except OSError as error:
            raise file_fault(error, f"read at byte {start + done}", path) from error
        if count == 0:
            raise ended_early(path, start + done, total - done)
        done += count
    return done


def _read_scattered(descriptor: int, buffers: Sequence[memoryview], start: int, path: str) -> int:
    """Fill `buffers` from `start` on; stop at the file's end.

    The kernel may give less than was asked for (2 GiB are its most), and so only zero bytes are the
    end. But who wants one byte more than there should be, to see the end, gets all but that one:
    that is not asked about again.
    """
    wanted = sum(map(_SIZE_BYTES, buffers))
    total = 0
    while buffers:
        some = buffers if len(buffers) <= MOST_BUFFERS else buffers[:MOST_BUFFERS]
        try:
            count = os.preadv(descriptor, some, start + total)
        except OSError as error:
            check_regular(os.fstat(descriptor), path)
            raise file_fault(error, f"read at byte {start + total}", path) from error
        total += count
        if total >= wanted - 1 or not count:
            break
        buffers = unfilled(buffers, count)
    return total


def _write_chunks(
    descriptor: int, chunks: Iterable[memoryview], path: str, progress: Progress
) -> int:
    """Write all chunks, small ones together with what follows: a call costs more than they do.

    A write ends with a whole page: where the next one began within a page, the kernel would have to
    cut its memory into smaller pieces, which costs a tenth of the time.
    """
    size_bytes, small = 0, bytearray()
    for given in chunks:
        chunk = memoryview(given).cast("B")
        if chunk.nbytes <= _SMALL_CHUNK_BYTES:
            small += chunk
            if len(small) < _MOST_SMALL_BYTES:
                continue
            chunk, small = memoryview(small), bytearray()  # longer than a page, as large ones are
        left_over = (size_bytes + len(small) + chunk.nbytes) % _PAGE_BYTES
        whole = chunk.nbytes - left_over
        size_bytes += _write_fully(descriptor, [memoryview(small), chunk[:whole]], size_bytes, path)
        progress.note(size_bytes)
        small = bytearray(chunk[whole:])
    return size_bytes + _write_fully(descriptor, [memoryview(small)], size_bytes, path)


def _write_fully(
    descriptor: int, buffers: Sequence[memoryview], written_bytes: int, path: str
) -> int:
    """Write `buffers` behind the `written_bytes` that are in the file; return their size."""
    total = sum(buffer.nbytes for buffer in buffers)
    left = total
    while left:
        try:
            count = os.writev(descriptor, buffers)
        except OSError as error:
            place = written_bytes + total - left
            raise file_fault(error, f"write after {place} bytes", path) from error
        left -= count
        buffers = unfilled(buffers, count) if left else ()
    return total
