"""``reader.transfer_size``: no request to the storage asks for more than so many bytes.

DLIO hands the size to TensorFlow as the buffer of ``TFRecordDataset``, which reads a file in steps
of it (``reader/tf_reader.py`` of dlio_benchmark).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cm4storage.storage.buffers import BufferPool, give_back
from cm4storage.storage.file import check_range
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.storage.store import Store


class LimitedReads(StoreWrapper):
    """Reads by requests of at most `request_bytes`, one after the other."""

    def __init__(self, store: Store, request_bytes: int) -> None:
        super().__init__(store)
        self._request_bytes = request_bytes
        self._pool = BufferPool()

    @contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend a range, put together from several answers; see `Store.read`."""
        check_range(start, length)
        wanted = max(0, self._store.stat(key).size_bytes - start)
        wanted = wanted if length is None else min(wanted, length)
        buffer = self._pool.acquire(wanted)
        view = buffer.view(wanted)
        lent = view[: self.scatter(key, [view], start=start)]
        try:
            yield lent
        finally:
            give_back(self._pool, buffer, view, lent)
            del view, lent

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other; see `Store.scatter`."""
        total = 0
        for part in _portions(buffers, self._request_bytes):
            count = self._store.scatter(key, part, start=start + total)
            total += count
            if count < sum(buffer.nbytes for buffer in part):
                break
        return total

    def close(self) -> None:
        """Give the pooled memory back."""
        self._pool.clear()


def _portions(buffers: Sequence[memoryview], size_bytes: int) -> Iterator[list[memoryview]]:
    """Yield `buffers` in portions of `size_bytes`, cut where a portion ends."""
    portion: list[memoryview] = []
    room = size_bytes
    for buffer in buffers:
        rest = buffer.cast("B")
        while rest.nbytes > room:
            yield [*portion, rest[:room]]
            rest, portion, room = rest[room:], [], size_bytes
        portion.append(rest)
        room -= rest.nbytes
    if portion:
        yield portion
