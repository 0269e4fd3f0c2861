"""Objects as files below a folder, read and written past the page cache.

Whoever measures a disk wants this: neither what was read before nor what was just written is in
memory. There is no silent fallback: where ``O_DIRECT`` cannot be, that is an error.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, ClassVar, Final

from cm4storage.storage.folders.block_writer import STAGING_BYTES, BlockWriter
from cm4storage.storage.folders.direct_files import DirectFiles, Room, Wish
from cm4storage.storage.folders.folder import FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cm4storage.core.errors import StorageBenchmarkError
    from cm4storage.storage.buffers import BufferPool
    from cm4storage.storage.loans import Loan

_WISH: Final = Wish("directio://", "name it without directio:// (or by _file)")


class DirectStore(FolderStore):
    """A `Store` over a folder; see `FolderStore` for its parameters.

    Raises
    ------
    UserError
        If the folder's file system keeps files in memory; and when a file is opened, if it
        refuses ``O_DIRECT``.
    """

    scheme: ClassVar[str] = "directio"
    write_flags: ClassVar[int] = FolderStore.write_flags | os.O_DIRECT

    def __init__(self, root: Path, *, fsync: bool = False, pool: BufferPool | None = None) -> None:
        super().__init__(root, fsync=fsync, pool=pool)
        self._files = DirectFiles(self._root, self._pool, _WISH)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Loan:
        """Lend a range of a file; see `Store.read`."""
        return self._files.read(self._path(key), start, length)

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on; see `Store.read_into`."""
        return self._files.scatter(self._path(key), [buffer], start)

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` from byte `start` on; see `Store.scatter`."""
        return self._files.scatter(self._path(key), buffers, start)

    def _write_chunks(self, descriptor: int, chunks: Iterable[memoryview], path: str) -> int:
        alignment = self._files.alignment(descriptor, os.fstat(descriptor).st_dev, path)
        with Room(self._pool, STAGING_BYTES, path) as staging:
            writer = BlockWriter(descriptor, staging, alignment, path)
            for chunk in chunks:
                writer.add(memoryview(chunk).cast("B"))
            return writer.finish()

    def _create_fault(self, error: OSError, path: str) -> StorageBenchmarkError:
        if error.errno == errno.EINVAL:
            return self._files.refusal(path)
        return super()._create_fault(error, path)
