"""``reader.read_type: memory``: an object that was read once stays in memory for the whole run."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.storage.store import Store


class KeptReads(StoreWrapper):
    """Reads every object as a whole and once.

    Two threads that ask for an object at the same time may both read it.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend a range of what is kept; see `Store.read`."""
        end = None if length is None else start + length
        yield memoryview(self._kept(key))[start:end]

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` from what is kept; see `Store.scatter`."""
        kept, done = memoryview(self._kept(key))[start:], 0
        for buffer in buffers:
            part = kept[done : done + buffer.nbytes]
            buffer.cast("B")[: len(part)] = part
            done += len(part)
        return done

    def close(self) -> None:
        """Forget everything."""
        self._objects.clear()

    def _kept(self, key: str) -> bytes:
        with self._lock:
            found = self._objects.get(key)
        if found is None:
            with self._store.read(key) as view:
                found = bytes(view)
            with self._lock:
                self._objects[key] = found
        return found
