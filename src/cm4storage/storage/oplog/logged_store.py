"""A store that tells of each operation."""

from __future__ import annotations

import threading
from itertools import chain, islice
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeVar

from cm4storage.core.errors import StorageBenchmarkError, redact_url
from cm4storage.storage.operation import UNWATCHED, Operation, Watchable
from cm4storage.storage.oplog.rows import Event
from cm4storage.storage.page_cache import LocalFiles
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from cm4storage.storage.store import ObjectStat, Store

    Take = Callable[[Event], None]

T = TypeVar("T")


def logged_store(store: Store, endpoint: str, take: Take) -> Store:
    """Return `store` such that `take` is told of each operation."""
    if isinstance(store, LocalFiles):
        return LoggedFiles(store, endpoint, take)
    return LoggedStore(store, endpoint, take)


def below_the_log(store: Store, layer: Callable[[Store], Store]) -> Store:
    """Return ``layer(store)``; where `store` is logged, the log is of what the layer does."""
    return store.over(layer) if isinstance(store, LoggedStore) else layer(store)


class LoggedStore(StoreWrapper):
    """A `Store` over another one, whose operations are noted.

    An operation ends when its data are there, or have been taken: what the caller does with them
    does not count. A write begins when the first of what is to be written has been made. A listing
    lasts until its last object was asked for.

    Parameters
    ----------
    store : Store
    endpoint : str
        The service behind it.
    take : callable
        Takes the events.
    """

    def __init__(self, store: Store, endpoint: str, take: Take) -> None:
        super().__init__(store)
        self._watchable = store if isinstance(store, Watchable) else None
        self.root = redact_url(store.uri)
        self.endpoint = redact_url(endpoint)
        self.take = take

    def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[memoryview]:
        """Lend a range of an object; see `Store.read`."""
        note = _Loan(self, "GET", key, start)
        note.loan = self._for(note).read(key, start=start, length=length)
        return note

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other; see `Store.scatter`."""
        note = _Call(self, "GET", key, start)
        with note:
            note.size_bytes = self._for(note).scatter(key, buffers, start=start)
        return note.size_bytes

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer`; see `Store.read_into`."""
        note = _Call(self, "GET", key, start)
        with note:
            note.size_bytes = self._for(note).read_into(key, buffer, start=start)
        return note.size_bytes

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write an object; see `Store.write`."""
        rest = iter(chunks)
        first = [*islice(rest, 1)]
        note = _Call(self, "PUT", key)
        with note:
            note.size_bytes = self._for(note).write(key, chain(first, rest))
        return note.size_bytes

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield objects; see `Store.list`."""
        note = _Note(self, "LIST", prefix)
        return note.counting(self._for(note).list(prefix))

    def folders(self) -> Iterator[str]:
        """Yield folders; see `Store.folders`."""
        note = _Note(self, "LIST", "")
        return note.counting(self._for(note).folders())

    def stat(self, key: str) -> ObjectStat:
        """Return one object's size."""
        note = _Call(self, "HEAD", key)
        with note:
            return self._for(note).stat(key)

    def delete(self, key: str) -> None:
        """Remove one object."""
        note = _Call(self, "DELETE", key)
        with note:
            self._for(note).delete(key)

    def over(self, layer: Callable[[Store], Store]) -> Store:
        """Return the log of what `layer` makes of the store below."""
        return logged_store(layer(self._store), self.endpoint, self.take)

    def _for(self, note: _Note) -> Store:
        """Return the store that tells `note` what only it knows."""
        if self._watchable is None:
            return self._store
        note.operation = Operation()
        return self._watchable.watched(note.operation)


class LoggedFiles(LoggedStore):
    """The same for a store whose objects are files of this machine."""

    def __init__(self, store: Store, endpoint: str, take: Take) -> None:
        super().__init__(store, endpoint, take)
        if not isinstance(store, LocalFiles):
            raise TypeError(f"the store has no local files: {store.uri}")
        self._files: LocalFiles = store

    def local_path(self, key: str) -> str:
        """Return the path of a file."""
        return self._files.local_path(key)


class _Note:
    """One operation, from its begin on."""

    __slots__ = ("_key", "_logged", "_offset", "_op", "_start_ns", "operation", "size_bytes")

    def __init__(self, logged: LoggedStore, op: str, key: str, offset: int = 0) -> None:
        self._logged = logged
        self._op = op
        self._key = key
        self._offset = offset
        self.operation = UNWATCHED
        self.size_bytes = 0
        self._start_ns = perf_counter_ns()

    def end(self, error: BaseException | None = None, objects: int = 1) -> None:
        """Hand the event over."""
        end_ns = perf_counter_ns()
        logged, operation = self._logged, self.operation
        logged.take(
            Event(
                self._op,
                logged.root,
                self._key,
                logged.endpoint,
                threading.get_ident(),
                self._start_ns,
                int(operation.first_byte_s * 1e9),
                end_ns,
                0 if error is not None else objects,
                self.size_bytes,
                self._offset,
                operation.retries,
                "" if error is None else _text(error),
            )
        )

    def counting(self, found: Iterator[T]) -> Iterator[T]:
        """Yield what was found, and end with how much it was."""
        count = 0
        try:
            for each in found:
                count += 1
                yield each
        except Exception as error:
            self.end(error)
            raise
        except BaseException:  # nobody asks for more
            self.end(objects=count)
            raise
        self.end(objects=count)


class _Call(_Note):
    """A call: the context ends with its event."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(error)


class _Loan(_Note):
    """A read: its note is its context, since every object more costs time."""

    __slots__ = ("loan",)

    loan: AbstractContextManager[memoryview]

    def __enter__(self) -> memoryview:
        try:
            view = self.loan.__enter__()
        except BaseException as error:
            self.end(error)
            raise
        self.size_bytes = view.nbytes
        self.end()
        return view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self.loan.__exit__(kind, error, trace)


def _text(error: BaseException) -> str:
    """Return what went wrong; of what is no error of ours only the kind, since it may tell all."""
    if isinstance(error, StorageBenchmarkError):
        return redact_url(error.what)
    return type(error).__name__
