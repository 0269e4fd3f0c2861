"""``reader.transfer_size``: no request to the storage asks for more than so many bytes.

DLIO hands the size to TensorFlow as the buffer of ``TFRecordDataset``, which reads a file in steps
of it (``reader/tf_reader.py`` of dlio_benchmark).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.storage.buffers import BufferPool
from cm4storage.storage.folders.file_access import check_range
from cm4storage.storage.loans import Loan
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

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Loan:
        """Lend a range, put together from several answers; see `Store.read`."""
        check_range(start, length)
        return _LimitedLoan(self, self._pool, key, start, length)

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


class _LimitedLoan(Loan):
    """The context of one read."""

    __slots__ = ("_key", "_length", "_start", "_store")

    def __init__(
        self, store: LimitedReads, pool: BufferPool, key: str, start: int, length: int | None
    ) -> None:
        super().__init__(pool)
        self._store = store
        self._key = key
        self._start = start
        self._length = length

    def _fill(self) -> memoryview:
        wanted = max(0, self._store.stat(self._key).size_bytes - self._start)
        wanted = wanted if self._length is None else min(wanted, self._length)
        room = self._room(wanted, self._key)
        return room[: self._store.scatter(self._key, [room], start=self._start)]


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
