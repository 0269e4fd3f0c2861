"""What may end a run before the workload does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper limits of a run; None is no limit."""

    max_epochs: int | None = None
    max_steps: int | None = None

    def epochs(self, wanted: int) -> int:
        """Return how many of `wanted` epochs to run."""
        return wanted if self.max_epochs is None else min(wanted, self.max_epochs)

    def steps(self, wanted: int) -> int:
        """Return how many of `wanted` steps of an epoch to run."""
        return wanted if self.max_steps is None else min(wanted, self.max_steps)
