"""What `Store.read` lends: a view of a pooled buffer, until the context ends."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from cm4storage.storage.buffers import give_back
from cm4storage.storage.file_faults import file_fault

if TYPE_CHECKING:
    from types import TracebackType

    from cm4storage.storage.buffers import Buffer, BufferPool


class Loan(ABC):
    """The context of one read; a class because a generator costs more per read."""

    __slots__ = ("_buffer", "_lent", "_pool", "_view")

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._buffer: Buffer | None = None
        self._view: memoryview | None = None
        self._lent: memoryview | None = None

    def __enter__(self) -> memoryview:
        try:
            self._lent = self._fill()
        except BaseException:
            self._give_back()
            raise
        return self._lent

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()

    @abstractmethod
    def _fill(self) -> memoryview:
        """Read into what `_room` returns, and return what of it is lent."""

    def _room(self, length_bytes: int, where: str) -> memoryview:
        """Return memory for the object at `where`, page-aligned."""
        try:
            self._buffer = self._pool.acquire(length_bytes)
        except (OSError, MemoryError) as error:
            cause = error if isinstance(error, OSError) else OSError(errno.ENOMEM, "out of memory")
            raise file_fault(cause, f"map a buffer of {length_bytes} bytes", where) from error
        self._view = self._buffer.view(length_bytes)
        return self._view

    def _give_back(self) -> None:
        views = [view for view in (self._view, self._lent) if view is not None]
        buffer = self._buffer
        self._view = self._lent = self._buffer = None
        if buffer is not None:
            give_back(self._pool, buffer, *views)
