"""``reader.odirect``: the files of a folder read past the page cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.buffers import BufferPool
from cm4storage.storage.folders.direct_files import DirectFiles, Wish
from cm4storage.storage.folders.directio import DirectStore
from cm4storage.storage.page_cache import LocalFiles
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.storage.loans import Loan
    from cm4storage.storage.store import Store

_WISH: Final = Wish("reader.odirect=true", "leave reader.odirect out")


def read_directly(store: Store) -> Store:
    """Return a store that reads past the page cache: `store` itself, if it does that already."""
    return store if isinstance(store, DirectStore) else DirectReads(store)


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
        self._local: LocalFiles = store
        self._pool = BufferPool()
        folder = os.path.dirname(store.local_path("train"))  # noqa: PTH120
        self._files = DirectFiles(folder, self._pool, _WISH)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Loan:
        """Lend a range of a file; see `Store.read`."""
        return self._files.read(self._local.local_path(key), start, length)

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other; see `Store.scatter`."""
        return self._files.scatter(self._local.local_path(key), buffers, start)

    def close(self) -> None:
        """Give the pooled memory back."""
        self._pool.clear()
