"""What a run asks of its ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    from cm4storage.core.errors import StorageBenchmarkError


class Communicator(Protocol):
    """The ranks of one run: one process each. All ranks call the same methods in the same order."""

    @property
    def rank(self) -> int:
        """The number of the calling process, from 0."""

    @property
    def size(self) -> int:
        """The number of ranks."""

    def barrier(self) -> float | None:
        """Wait for all ranks; return the seconds waited, or None where there is nobody else."""

    def gather(self, value: Any) -> list[Any] | None:
        """Bring the values of all ranks to rank 0, which gets them in order; the others get None.

        Parameters
        ----------
        value : Any
            Whatever JSON can say.
        """

    def abort(self, error: StorageBenchmarkError) -> NoReturn:
        """End the run on all ranks because of an error of this one."""


class SingleProcess:
    """A run of one rank."""

    rank = 0
    size = 1

    def barrier(self) -> float | None:
        """Return None: nobody is waited for."""
        return None

    def gather(self, value: Any) -> list[Any] | None:
        """Return the one value."""
        return [value]

    def abort(self, error: StorageBenchmarkError) -> NoReturn:
        """Raise the error: there is nobody to be told."""
        raise error
