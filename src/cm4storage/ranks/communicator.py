"""What the step loop asks of the ranks of a run."""

from __future__ import annotations

from typing import Protocol


class Communicator(Protocol):
    """The ranks of one run: one process each."""

    @property
    def rank(self) -> int:
        """The number of the calling process, from 0."""

    @property
    def size(self) -> int:
        """The number of ranks."""

    def barrier(self) -> float | None:
        """Wait for all ranks; return the seconds waited, or None where there is nobody else."""


class SingleProcess:
    """A run of one rank."""

    rank = 0
    size = 1

    def barrier(self) -> float | None:
        """Return None: nobody is waited for."""
        return None
