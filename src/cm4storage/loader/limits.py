"""What a run may leave out, and how it deals with what goes wrong."""

from __future__ import annotations

from typing import Literal, get_args

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass

OnError = Literal["stop", "skip"]
Readers = Literal["threads", "processes"]


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


@dataclass(frozen=True)
class Conduct:
    """How a run is conducted.

    Attributes
    ----------
    on_error : {'stop', 'skip'}
        Whether a file that is missing or damaged stops the run, or is counted and left out: zeros
        stand in the place of its samples.
    is_cold : bool
        Whether the data set is evicted from the page cache before each epoch.
    records_order : bool
        Whether the samples of all epochs are written down beside the record.
    readers : {'threads', 'processes'}
        What the ``reader.read_threads`` readers are. Processes do not wait for each other's
        interpreter, which counts where files are small; they read files alone.
    """

    on_error: OnError = "stop"
    is_cold: bool = False
    records_order: bool = False
    readers: Readers = "threads"

    def __post_init__(self) -> None:
        for name, kind in (("on_error", OnError), ("readers", Readers)):
            value, known = getattr(self, name), get_args(kind)
            if value not in known:
                raise UserError(
                    f"{name} can be {' or '.join(known)}, not {value!r}", where="Conduct"
                )
