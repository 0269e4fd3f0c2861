"""The batches of a loader of the user's, as the step loop takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.core.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from cm4storage.loader.counting_store import CountingStore
    from cm4storage.loader.file_reader import ReadCounters
    from cm4storage.loader.plugins import Loader
    from cm4storage.loader.sampling import Counts


class CustomBatches:
    """One epoch of a `Loader`."""

    def __init__(
        self, loader: Loader, store: CountingStore, batch_size: int, epoch: int, steps: int
    ) -> None:
        self._loader = loader
        self._batch_size = batch_size
        self._store = store
        self._epoch = epoch
        self._steps = steps
        self._batches: Iterator[npt.NDArray[np.generic]] = iter(())

    def __enter__(self) -> CustomBatches:
        self._batches = iter(self._loader.batches(self._epoch, self._steps))
        return self

    def __exit__(self, *_: object) -> None:
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()

    def take(self, step: int) -> npt.NDArray[np.generic]:
        """Return the next batch.

        Raises
        ------
        UserError
            If the loader has none, or it is of another size than is counted.
        """
        batch = next(self._batches, None)
        if batch is None:
            raise UserError(
                f"the loader gave {step} batches in epoch {self._epoch}, and {self._steps} are due",
                where="reader.data_loader_classname",
            )
        if len(batch) != self._batch_size:
            raise UserError(
                f"the loader gave a batch of {format_count(len(batch), 'sample')}, and "
                f"reader.batch_size is {self._batch_size}",
                where=f"reader.data_loader_classname, epoch {self._epoch}, step {step}",
            )
        return batch

    def release(self, step: int) -> None:
        """Do nothing: asking for the next batch gives up the last."""

    def counters(self) -> ReadCounters:
        """Return what the loader has read through the store that it was given."""
        return self._store.counted()

    def counts(self) -> Counts:
        """Return what was read so far."""
        return self._store.counts()
