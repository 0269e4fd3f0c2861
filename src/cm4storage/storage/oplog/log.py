"""Writing an operation log beside the work, without holding it up."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import IO, TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.oplog.logged_store import logged_store
from cm4storage.storage.oplog.rows import Event, Writer

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from cm4storage.storage.store import Store

_PAUSE_S: Final = 0.2
_WAKE_AT: Final = 8_192
_MOST_WAITING: Final = 65_536
_ROWS_PER_BLOCK: Final = 8_192
_LEVEL: Final = 3


class FileLog:
    """An `OperationLog` in a file; a context that ends with the file complete.

    Threads put their events into a queue, and a thread of the log's own makes compressed rows of
    them, at the latest after some tenths of a second. Each time it ends a block, so that what a
    killed process leaves can be read up to there. Where the queue is full, threads wait: no event
    is lost.

    Parameters
    ----------
    path : Path
        Written anew.
    client_id : str
        Whose rows they are.

    Raises
    ------
    UserError
        If the file cannot be made.
    """

    def __init__(self, path: Path, client_id: str = "") -> None:
        self._path = path
        self._writer = Writer(client_id)
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._error: OSError | None = None
        self._compressor = _compressor()
        self._file = _create(path)
        self._write(self._writer.header)
        self._thread = threading.Thread(target=self._run, name="operation-log", daemon=True)
        self._thread.start()

    def __enter__(self) -> FileLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except StorageFault:
            if error is None:  # what went wrong in the work tells more
                raise

    def logged(self, store: Store, endpoint: str) -> Store:
        """Return `store` such that each operation becomes a row."""
        return logged_store(store, endpoint, self.add)

    def add(self, event: Event) -> None:
        """Take an event; one that comes after the end is not kept."""
        self._events.append(event)
        waiting = len(self._events)
        if waiting == _WAKE_AT or waiting > _MOST_WAITING:
            self._wake_writer(waits=waiting > _MOST_WAITING)

    def close(self) -> None:
        """Write what is left, and end the file.

        Raises
        ------
        StorageFault
            If not all could be written.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise StorageFault(
                f"cannot write the operation log: {self._error.strerror}",
                where=str(self._path),
                meaning="the run itself is not concerned; the log ends early",
                advice="free some space there, or let --oplog name a file elsewhere",
            ) from self._error

    def _wake_writer(self, *, waits: bool) -> None:
        with self._changed:
            self._changed.notify_all()
            while waits and len(self._events) > _MOST_WAITING and self._thread.is_alive():
                self._changed.wait(_PAUSE_S)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            with self._changed:
                if not self._is_closing and len(self._events) < _WAKE_AT:
                    self._changed.wait(_PAUSE_S)
                is_last = self._is_closing
            while text := self._next_rows():
                self._write(text)
                with self._changed:
                    self._changed.notify_all()
        self._finish()

    def _next_rows(self) -> str:
        rows: list[str] = []
        with contextlib.suppress(IndexError):
            while len(rows) < _ROWS_PER_BLOCK:
                rows.append(self._writer.row(self._events.popleft()))
        return "".join(rows)

    def _write(self, text: str) -> None:
        """Write a block that can be decompressed without what follows."""
        compressed = self._compressor.compress(text.encode(errors="replace"))
        self._store(compressed + self._compressor.flush(_FLUSH_BLOCK))

    def _finish(self) -> None:
        self._store(self._compressor.flush())
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error

    def _store(self, data: bytes) -> None:
        if self._error is not None:
            return
        left = memoryview(data)
        try:
            while left:  # a raw file may take a part
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error


# zstandard.COMPRESSOBJ_FLUSH_BLOCK, without its import
_FLUSH_BLOCK: Final = 1


def _compressor() -> Any:
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL).compressobj()


def _create(path: Path) -> IO[bytes]:
    try:
        return path.open("wb", buffering=0)
    except OSError as error:
        raise UserError(
            f"cannot make the operation log: {error.strerror}",
            where=str(path),
            advice="let --oplog name a file in a folder that exists and can be written",
        ) from error
