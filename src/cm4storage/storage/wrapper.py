"""A store over another store, for those that change how things are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.storage.store import ComparesDigests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from cm4storage.storage.store import ObjectStat, Store


class StoreWrapper:
    """A `Store` that passes everything on; subclasses change a part of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def uri(self) -> str:
        """The root of the store."""
        return self._store.uri

    def expect(self, digest_of: Callable[[str], str]) -> None:
        """Hand the digests to a store that compares; see `ComparesDigests`."""
        if isinstance(self._store, ComparesDigests):
            self._store.expect(digest_of)

    @property
    def retries(self) -> int:
        """How many requests the store below has sent again."""
        return self._store.retries

    def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[memoryview]:
        """Lend a range of an object; see `Store.read`."""
        return self._store.read(key, start=start, length=length)

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer`; see `Store.read_into`."""
        return self.scatter(key, [buffer], start=start)

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other; see `Store.scatter`."""
        return self._store.scatter(key, buffers, start=start)

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write an object; see `Store.write`."""
        return self._store.write(key, chunks)

    def make_folder(self, name: str) -> None:
        """Make a folder; see `Store.make_folder`."""
        self._store.make_folder(name)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield objects; see `Store.list`."""
        return self._store.list(prefix)

    def folders(self) -> Iterator[str]:
        """Yield folders; see `Store.folders`."""
        return self._store.folders()

    def stat(self, key: str) -> ObjectStat:
        """Return one object's size."""
        return self._store.stat(key)

    def delete(self, key: str) -> None:
        """Remove one object."""
        self._store.delete(key)

    def free_bytes(self) -> int | None:
        """Return the free space; see `Store.free_bytes`."""
        return self._store.free_bytes()

    def close(self) -> None:
        """Leave the store below to its owner."""
