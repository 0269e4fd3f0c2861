"""A store that counts what is read from it, for loaders that are not ours."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cm4storage.loader.file_reader import ReadCounters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cm4storage.storage.store import ObjectStat, Store


class CountingStore:
    """A `Store` over another one; threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counters = ReadCounters()

    def counted(self) -> ReadCounters:
        """Return what was read since the last call."""
        with self._lock:
            counters, self._counters = self._counters, ReadCounters()
        return counters

    @property
    def uri(self) -> str:
        """The root of the store."""
        return self._store.uri

    @contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend a range of an object; see `Store.read`."""
        begin = time.perf_counter()
        with self._store.read(key, start=start, length=length) as view:
            self._note(begin, len(view))
            yield view

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer`; see `Store.read_into`."""
        begin = time.perf_counter()
        return self._note(begin, self._store.read_into(key, buffer, start=start))

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other; see `Store.scatter`."""
        begin = time.perf_counter()
        return self._note(begin, self._store.scatter(key, buffers, start=start))

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write an object; see `Store.write`."""
        return self._store.write(key, chunks)

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

    def make_folder(self, key: str) -> None:
        """See `Store.make_folder`."""
        self._store.make_folder(key)

    def free_bytes(self) -> int | None:
        """Return the free space; see `Store.free_bytes`."""
        return self._store.free_bytes()

    def close(self) -> None:
        """Leave the store to its owner."""

    def _note(self, begin_s: float, count: int) -> int:
        elapsed_s = time.perf_counter() - begin_s
        with self._lock:
            self._counters.io.add(elapsed_s)
            self._counters.bytes_read += count
        return count
