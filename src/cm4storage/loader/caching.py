"""The page cache and the files of a split: evict them, and say what share is resident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage import page_cache
from cm4storage.storage.page_cache import LocalFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.loader.data_files import DataFiles
    from cm4storage.storage.store import Store

MOST_LOOKED_AT = 4096
"""Of more files, as many as this are looked at, evenly spaced."""


class CachedFiles:
    """The files of one split on this machine; none where the store is no folder."""

    def __init__(self, store: LocalFiles | None, files: DataFiles) -> None:
        self._store = store
        self._files = files

    @classmethod
    def of(cls, store: Store, files: DataFiles) -> CachedFiles:
        """Return the files of a split of a data set."""
        return cls(store if isinstance(store, LocalFiles) else None, files)

    def evict(self) -> None:
        """Take all files out of the page cache.

        Raises
        ------
        UserError
            If they are not on this machine.
        StorageFault
            If a file cannot be written back.
        """
        if self._store is None:
            raise UserError(
                "a cold start is possible with local files only",
                meaning="what an object store has in its caches is out of reach from here",
                advice="leave --cold and _cold out",
            )
        try:
            page_cache.evict(self._paths(1))
        except OSError as error:
            raise StorageFault(
                f"cannot evict the data set from the page cache: {error.strerror}",
                where=str(error.filename or ""),
            ) from error

    def resident_fraction(self) -> float | None:
        """Return the share of the pages that is resident, 0 to 1; None where that is unknown."""
        if self._store is None:
            return None
        step = -(-self._files.count // MOST_LOOKED_AT)
        return page_cache.residency(self._paths(max(1, step))).fraction

    def _paths(self, step: int) -> Iterator[str]:
        assert self._store is not None
        suffixes = ("", *self._files.index_suffixes())
        for index in range(0, self._files.count, step):
            path = self._store.local_path(self._files.key(index))
            yield from (path + suffix for suffix in suffixes)
