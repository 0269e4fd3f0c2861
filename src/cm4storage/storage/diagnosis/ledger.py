"""What a check has written: which keys, which of them are being written, and what is still there.

A key is removed only when nobody writes it any more, and as soon as the removing has begun nobody
may begin to write. Otherwise an object could reach the storage behind its own removal.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE_BYTES: Final = 1024 * 1024


class GivenUp(Exception):
    """Nobody waits for this writing any more, and it must leave nothing behind."""


@dataclass(frozen=True)
class Writing:
    """The leave to write some keys.

    Attributes
    ----------
    keys : tuple of str
        Which.
    is_given_up : callable
        Tells that nobody waits for it any more.
    """

    keys: tuple[str, ...]
    is_given_up: Callable[[], bool]

    @property
    def key(self) -> str:
        """The first of the keys."""
        return self.keys[0]

    def check(self) -> None:
        """Raise `GivenUp` if nobody waits for this writing any more."""
        if self.is_given_up():
            raise GivenUp

    def pieces(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """Yield `data` in pieces; they end in `GivenUp` when the writing is given up.

        So the store drops what it has of the object.
        """
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            self.check()
            yield view[start : start + _PIECE_BYTES]


class Ledger:
    """The keys of one check; any thread may use it.

    Attributes
    ----------
    steps : int
        Grows with every writing that ends and every key that is dealt with: who waits sees
        whether the storage still answers.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._changed = threading.Condition()
        self._writers: Counter[str] = Counter()
        self._keys: dict[str, None] = {}
        self._is_closed = False
        self._fault: StorageBenchmarkError | None = None

    @property
    def left(self) -> list[str]:
        """What may still be there."""
        with self._changed:
            return list(self._keys)

    @property
    def fault(self) -> StorageBenchmarkError | None:
        """What kept a key from being removed, if anything did."""
        return self._fault

    @contextlib.contextmanager
    def writing(self, keys: tuple[str, ...], is_given_up: Callable[[], bool]) -> Iterator[Writing]:
        """Let the caller write `keys` until the context ends; no request may outlive it.

        Raises
        ------
        GivenUp
            If the keys are being removed already.
        """
        writing = Writing(keys, lambda: self._is_closed or is_given_up())
        with self._changed:
            writing.check()
            self._keys |= dict.fromkeys(keys)
            self._writers.update(keys)
        try:
            yield writing
        finally:
            with self._changed:
                self._writers.subtract(keys)
                self._note_step()

    def remove_all(self, delete: Callable[[str], None]) -> None:
        """Let nobody write any more, and remove each key as soon as it is not being written.

        Parameters
        ----------
        delete : callable
            Removes one key; an error of ours leaves it there, and the next one is tried.
        """
        with self._changed:
            self._is_closed = True
            waiting = dict(self._keys)
        while waiting:
            key = self._next_of(waiting)
            del waiting[key]
            self._remove(key, delete)

    def _next_of(self, waiting: dict[str, None]) -> str:
        """Return a key that nobody writes; wait until there is one."""
        with self._changed:
            while True:
                for key in waiting:
                    if not self._writers[key]:
                        return key
                self._changed.wait()

    def _remove(self, key: str, delete: Callable[[str], None]) -> None:
        fault: StorageBenchmarkError | None = None
        try:
            delete(key)
        except MissingObject:
            pass
        except StorageBenchmarkError as error:
            fault = error
        with self._changed:
            if fault is None:
                self._keys.pop(key, None)
            self._fault = fault or self._fault
            self._note_step()

    def _note_step(self) -> None:
        self.steps += 1
        self._changed.notify_all()
