"""What is to be known of one operation besides its result: told from below, asked from above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from cm4storage.storage.store import Store


class Operation:
    """Takes notes of one operation of a store; of one thread at a time.

    Attributes
    ----------
    first_byte_s : float
        When the answer began, by `time.perf_counter`; 0.0 where the backend does not tell.
    retries : int
        How often its requests have been sent again.
    """

    __slots__ = ("first_byte_s", "retries")

    def __init__(self) -> None:
        self.first_byte_s = 0.0
        self.retries = 0

    def note_retry(self) -> None:
        """Count one more retry."""
        self.retries += 1


UNWATCHED = Operation()
"""What takes the notes that nobody reads."""


@runtime_checkable
class Watchable(Protocol):
    """A store that can tell of single operations."""

    def watched(self, operation: Operation) -> Store:
        """Return the same store, whose next call is noted in `operation`.

        The caller hands it over, rather than a variable of its thread: a store may do its work in
        another thread.
        """


class OperationLog(Protocol):
    """Whoever wants to know of all operations of the stores that are opened."""

    def logged(self, store: Store, endpoint: str) -> Store:
        """Return `store` such that each operation is noted.

        Parameters
        ----------
        store : Store
        endpoint : str
            The service behind it, without credentials.
        """
