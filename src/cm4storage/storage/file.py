"""Objects as files below a folder, read by plain system calls."""

# Making a Path costs more than reading a small file.
# ruff: noqa: PTH103, PTH104, PTH108, PTH106, PTH110, PTH112, PTH116, PTH120

from __future__ import annotations

import contextlib
import errno
import os
import stat
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cm4storage.core.errors import StorageFault
from cm4storage.storage import file_leftovers
from cm4storage.storage.buffers import Buffer, BufferPool
from cm4storage.storage.file_faults import file_fault, missing_file
from cm4storage.storage.file_listing import list_files, list_folders
from cm4storage.storage.keys import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, check_key
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

# O_NONBLOCK: opening a named pipe must fail, not wait for a writer. Files ignore it.
_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_MOST_BUFFERS: Final = os.sysconf("SC_IOV_MAX")
_SIZE_BYTES: Final = attrgetter("nbytes")
_MAKE_FOLDER_ATTEMPTS: Final = 100
_SMALL_CHUNK_BYTES: Final = 4096
_MOST_SMALL_BYTES: Final = 65536


class FileStore:
    """A `Store` over a folder, which is made by the first write.

    Parameters
    ----------
    root : Path
        The folder, absolute.
    fsync : bool
        Make each written file and its folder entry durable before `write` returns.
    pool : BufferPool, optional
        The memory that `read` lends.
    """

    def __init__(self, root: Path, *, fsync: bool = False, pool: BufferPool | None = None) -> None:
        self._root = os.fspath(root)
        self._fsync = fsync
        self._pool = pool or BufferPool()
        self._uri = f"file://{quote(self._root)}"
        self._swept_folders: set[str] = set()

    @property
    def uri(self) -> str:
        """The folder as a ``file://`` URI."""
        return self._uri

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> _Loan:
        """Lend a range of a file in a pooled buffer; see `Store.read`."""
        check_range(start, length)
        return _Loan(self._pool, self._path(key), start, length)

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on; see `Store.read_into`."""
        check_range(start, None)
        path = self._path(key)
        descriptor, size_bytes = _open_to_read(path)
        try:
            wanted = min(buffer.nbytes, max(0, size_bytes - start))
            return _read_fully(descriptor, buffer.cast("B")[:wanted], start, path)
        finally:
            os.close(descriptor)

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` from byte `start` on by one system call; see `Store.scatter`."""
        check_range(start, None)
        path = self._path(key)
        try:
            descriptor = os.open(path, _READ_FLAGS)
        except OSError as error:
            raise _read_fault(error, "open the object", path) from error
        try:
            return _read_scattered(descriptor, buffers, start, path)
        finally:
            os.close(descriptor)

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write a file under a temporary name and rename it; see `Store.write`.

        The first write to a folder removes what killed writers left there.
        """
        path = self._path(key)
        folder = os.path.dirname(path)
        temporary = f"{folder}/{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
        descriptor = _create(temporary, path)
        try:
            try:
                file_leftovers.hold(descriptor)
                if folder not in self._swept_folders:
                    self._swept_folders.add(folder)
                    file_leftovers.sweep(folder, os.fstat(descriptor).st_mtime)
                size_bytes = _write_chunks(descriptor, chunks, path)
                self._sync(descriptor, path)
            finally:
                os.close(descriptor)
            _rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self._sync_folder(folder)
        return size_bytes

    def local_path(self, key: str) -> str:
        """Return the path of a file."""
        return self._path(key)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the files whose key starts with `prefix`; see `Store.list`."""
        return list_files(self._root, prefix)

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders below the root that hold files; see `Store.folders`."""
        return list_folders(self._root)

    def stat(self, key: str) -> ObjectStat:
        """Return one file's size."""
        path = self._path(key)
        try:
            status = os.stat(path)
        except OSError as error:
            raise _read_fault(error, "look at the object", path) from error
        check_regular(status, path)
        return ObjectStat(key, status.st_size)

    def delete(self, key: str) -> None:
        """Remove one file, and the folders below the root that it leaves empty."""
        path = self._path(key)
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno in _ABSENT or os.path.isdir(path):
                return
            raise file_fault(error, "delete the object", path) from error
        self._remove_empty_folders(os.path.dirname(path))

    def make_folder(self, key: str) -> None:
        """See `Store.make_folder`."""
        _make_folder(self._path(key))

    def free_bytes(self) -> int:
        """Return what this user may still write on the root's file system."""
        path = self._root
        while not os.path.exists(path):
            path = os.path.dirname(path)
        try:
            status = os.statvfs(path)
        except OSError as error:
            raise file_fault(error, "ask for the free space", path) from error
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Give the pooled memory back."""
        self._pool.clear()

    def _path(self, key: str) -> str:
        check_key(key, self._uri)
        return f"{self._root}/{key}"

    def _sync(self, descriptor: int, path: str) -> None:
        if not self._fsync:
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise file_fault(error, "sync the object", path) from error

    def _sync_folder(self, folder: str) -> None:
        if not self._fsync:
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise file_fault(error, "sync the folder", folder) from error
        try:
            self._sync(descriptor, folder)
        finally:
            os.close(descriptor)

    def _remove_empty_folders(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            while len(folder) > len(self._root):
                os.rmdir(folder)
                folder = os.path.dirname(folder)


class _Loan:
    """The context of one `FileStore.read`; a class because a generator costs more per read."""

    __slots__ = ("_buffer", "_length", "_path", "_pool", "_start", "_view")

    def __init__(self, pool: BufferPool, path: str, start: int, length: int | None) -> None:
        self._pool = pool
        self._path = path
        self._start = start
        self._length = length
        self._buffer: Buffer | None = None
        self._view: memoryview | None = None

    def __enter__(self) -> memoryview:
        descriptor, size_bytes = _open_to_read(self._path)
        try:
            available = max(0, size_bytes - self._start)
            wanted = available if self._length is None else min(self._length, available)
            self._buffer = self._acquire(wanted)
            self._view = self._buffer.view(wanted)
            _read_fully(descriptor, self._view, self._start, self._path)
        except BaseException:
            self._give_back()
            raise
        finally:
            os.close(descriptor)
        return self._view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()

    def _acquire(self, wanted: int) -> Buffer:
        try:
            return self._pool.acquire(wanted)
        except (OSError, MemoryError) as error:
            cause = error if isinstance(error, OSError) else OSError(errno.ENOMEM, "out of memory")
            raise file_fault(cause, f"map a buffer of {wanted} bytes", self._path) from error

    def _give_back(self) -> None:
        view, buffer = self._view, self._buffer
        self._view = self._buffer = None
        if view is not None:
            with contextlib.suppress(BufferError):  # an array still looks at it: not pooled again
                view.release()
        del view
        if buffer is not None:
            self._pool.release(buffer)


def check_range(start: int, length: int | None) -> None:
    """Refuse a range that cannot be.

    Raises
    ------
    ValueError
    """
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"a range starts at 0 or later and is not negative: {start}, {length}")


def _open_to_read(path: str) -> tuple[int, int]:
    """Open a regular file; return its descriptor and size."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except OSError as error:
        raise _read_fault(error, "open the object", path) from error
    try:
        status = os.fstat(descriptor)
        check_regular(status, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def check_regular(status: os.stat_result, path: str) -> None:
    """Refuse what is no file.

    Raises
    ------
    MissingObject
        For a folder.
    StorageFault
        For a pipe, a device, ...
    """
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise missing_file(path, "there is a folder of this name")
    raise StorageFault("the object is not a regular file", where=path)


def _read_fault(error: OSError, action: str, path: str) -> StorageFault:
    if error.errno in _ABSENT:
        return missing_file(path)
    return file_fault(error, action, path)


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
            raise StorageFault(
                f"the file ends at byte {start + done}, {total - done} bytes early",
                where=path,
                meaning="another program truncated it while it was read",
            )
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
        some = buffers if len(buffers) <= _MOST_BUFFERS else buffers[:_MOST_BUFFERS]
        try:
            count = os.preadv(descriptor, some, start + total)
        except OSError as error:
            check_regular(os.fstat(descriptor), path)
            raise file_fault(error, f"read at byte {start + total}", path) from error
        total += count
        if total >= wanted - 1 or not count:
            break
        buffers = _unfilled(buffers, count)
    return total


def _unfilled(buffers: Sequence[memoryview], count: int) -> Sequence[memoryview]:
    """Return what `count` bytes leave of `buffers`."""
    for place, buffer in enumerate(buffers):
        if count < buffer.nbytes:
            rest = buffer.cast("B")[count:] if count else buffer
            return [rest, *buffers[place + 1 :]]
        count -= buffer.nbytes
    return ()


def _create(temporary: str, path: str) -> int:
    """Create the temporary file, and its folder where that is missing."""
    for attempt in range(_MAKE_FOLDER_ATTEMPTS):
        try:
            return os.open(temporary, _WRITE_FLAGS, 0o666)
        except FileNotFoundError as error:
            # A delete may remove the folder again between these two calls.
            if attempt == _MAKE_FOLDER_ATTEMPTS - 1:
                raise file_fault(error, "create the object", path) from error
            _make_folder(os.path.dirname(path))
        except OSError as error:
            raise file_fault(error, "create the object", path) from error
    raise AssertionError("unreachable")


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileNotFoundError, FileExistsError):
        return  # a delete removed it in between; the caller tries again, and meets what is there
    except OSError as error:
        raise file_fault(error, "make the folder", folder) from error


def _write_chunks(descriptor: int, chunks: Iterable[memoryview], path: str) -> int:
    """Write all chunks, small ones together with what follows: a call costs more than they do."""
    size_bytes, small = 0, bytearray()
    for given in chunks:
        chunk = memoryview(given).cast("B")
        if chunk.nbytes <= _SMALL_CHUNK_BYTES and len(small) < _MOST_SMALL_BYTES:
            small += chunk
            continue
        size_bytes += _write_fully(descriptor, [memoryview(small), chunk], size_bytes, path)
        small = bytearray()
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
        buffers = _unfilled(buffers, count) if left else ()
    return total


def _rename(temporary: str, path: str) -> None:
    try:
        os.rename(temporary, path)
    except OSError as error:
        raise file_fault(error, "put the object in place", path) from error
