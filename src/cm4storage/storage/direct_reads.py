"""``reader.odirect``: local files read past the page cache.

``O_DIRECT`` wants memory, offset and length in multiples of a block. So whole blocks are read into
page-aligned, pooled buffers, and the wanted range is lent from there.
"""

# Making a Path costs more than reading a small file.

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cm4storage.core.errors import UserError
from cm4storage.storage.buffers import BufferPool, give_back
from cm4storage.storage.file import check_range, check_regular
from cm4storage.storage.file_faults import file_fault, missing_file
from cm4storage.storage.page_cache import LocalFiles
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.storage.store import Store

BLOCK_BYTES: Final = 4096
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


class DirectReads(StoreWrapper):
    """Reads the files of a folder with ``O_DIRECT``.

    Raises
    ------
    UserError
        If the store is no folder, or its file system keeps files in memory.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        if not isinstance(store, LocalFiles):
            raise UserError(
                "reader.odirect=true is possible with local files only",
                where=store.uri,
                advice="leave reader.odirect out, or use a folder",
            )
        self._files: LocalFiles = store
        self._pool = BufferPool()
        kind = file_system_of(store.local_path("train"))
        if kind in _IN_MEMORY:
            raise UserError(
                f"reader.odirect=true has no meaning on {kind}: its files are memory",
                where=store.uri,
                advice="keep the data set on a disk, or leave reader.odirect out",
            )

    @contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend a range of a file; see `Store.read`."""
        check_range(start, length)
        path = self._files.local_path(key)
        descriptor = _open(path)
        try:
            size_bytes = os.fstat(descriptor).st_size
            end = size_bytes if length is None else min(size_bytes, start + length)
            first = start - start % BLOCK_BYTES
            blocks_bytes = -(-max(0, end - first) // BLOCK_BYTES) * BLOCK_BYTES
            buffer = self._pool.acquire(blocks_bytes)
            view = buffer.view(blocks_bytes)
            count = _read_blocks(descriptor, view, first, path) if end > start else 0
        finally:
            os.close(descriptor)
        lent = view[start - first : max(start - first, min(count, end - first))]
        try:
            yield lent
        finally:
            give_back(self._pool, buffer, view, lent)
            del view, lent

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` by copies, since they are not aligned; see `Store.scatter`."""
        done = 0
        wanted = sum(buffer.nbytes for buffer in buffers)
        with self.read(key, start=start, length=wanted) as view:
            for buffer in buffers:
                part = view[done : done + buffer.nbytes]
                # numpy lets other threads run meanwhile.
                target = np.frombuffer(buffer, np.uint8) if buffer.nbytes else buffer
                target[: len(part)] = part
                done += len(part)
        return done

    def close(self) -> None:
        """Give the pooled memory back."""
        self._pool.clear()


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS | os.O_DIRECT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise missing_file(path) from error
        if error.errno != errno.EINVAL:
            raise file_fault(error, "open the object", path) from error
        check_regular(Path(path).stat(), path)
        raise UserError(
            f"the file system {file_system_of(path)} refuses O_DIRECT",
            where=path,
            meaning="reader.odirect=true asks for reads past the page cache",
            advice="keep the data set on a file system that can (ext4, xfs), or leave it out",
        ) from error


def _read_blocks(descriptor: int, view: memoryview, start: int, path: str) -> int:
    done = 0
    while done < view.nbytes:
        try:
            count = os.preadv(descriptor, [view[done:]], start + done)
        except OSError as error:
            raise file_fault(error, f"read at byte {start + done}", path) from error
        done += count
        if count % BLOCK_BYTES or not count:
            break  # the end of the file
    return done


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
