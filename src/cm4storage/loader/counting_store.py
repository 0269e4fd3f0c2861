"""A store that counts what is read from it, for loaders that are not ours."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cm4storage.loader.file_reader import ReadCounters
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.loader.sampling import Counts
    from cm4storage.storage.store import Store


class CountingStore(StoreWrapper):
    """A `Store` over another one; threads may share it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._lock = threading.Lock()
        self._counters = ReadCounters()

    def counted(self) -> ReadCounters:
        """Return what was read since the last call."""
        with self._lock:
            counters, self._counters = self._counters, ReadCounters()
        return counters

    def counts(self) -> Counts:
        """Return what was read since the last call of `counted`."""
        with self._lock:
            return self._counters.counts()

    @contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend a range of an object; see `Store.read`."""
        begin = time.perf_counter()
        with self._store.read(key, start=start, length=length) as view:
            self._note(begin, len(view))
            yield view

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other; see `Store.scatter`."""
        begin = time.perf_counter()
        return self._note(begin, self._store.scatter(key, buffers, start=start))

    def _note(self, begin_s: float, count: int) -> int:
        elapsed_s = time.perf_counter() - begin_s
        with self._lock:
            self._counters.io.add(elapsed_s)
            self._counters.bytes_read += count
        return count
