"""The ring of batches that reader threads fill and the step loop empties.

Its memory is mapped and faulted in once; samples are read or copied straight to their rows.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cm4storage.core.errors import UserError
from cm4storage.core.memory import machine_memory_bytes
from cm4storage.core.records import dataclass
from cm4storage.core.units import format_bytes
from cm4storage.core.waiting import wait_for
from cm4storage.storage.buffers import Buffer
from cm4storage.workload.plan import Split
from cm4storage.workload.sections import item_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    from cm4storage.workload.model import Workload

# Up to here a slice assignment is faster than numpy, which lets other threads run meanwhile.
_COPIED_BY_NUMPY_BYTES = 32768


class StoppedError(Exception):
    """Ends a reader thread whose run has ended."""


@dataclass(frozen=True)
class BatchShape:
    """What the step is handed: `batch_size` rows, each an array of one shape and element type."""

    batch_size: int
    sample_shape: tuple[int, ...]
    element_type: str = "uint8"

    @classmethod
    def of(cls, workload: Workload, split: Split = Split.TRAIN) -> BatchShape:
        """Return the shape that a workload asks for.

        ``transformed_record_dims`` go first; else a sample is a square of bytes with side
        int(sqrt(record_length_bytes_resize or the sample's nominal size)), as DLIO hands over.
        Source: ``derive_configurations`` in dlio_benchmark's ``utils/config.py``.
        """
        reader, dataset = workload.reader, workload.dataset
        batch_size = reader.batch_size if split is Split.TRAIN else reader.batch_size_eval
        if reader.transformed_record_dims:
            element_type = reader.transformed_record_element_type
            return cls(batch_size, reader.transformed_record_dims, element_type)
        side = int(math.sqrt(dataset.record_length_bytes_resize or dataset.sample_bytes))
        return cls(batch_size, (side, side))

    @property
    def sample_bytes(self) -> int:
        """The size of one row."""
        return math.prod(self.sample_shape) * item_bytes(self.element_type)

    @property
    def batch_bytes(self) -> int:
        """The size of all rows of a batch."""
        return self.batch_size * self.sample_bytes


def as_batches(view: memoryview, slots: int, shape: BatchShape) -> npt.NDArray[np.generic]:
    """Return memory as an array of shape (slots, batch size, *sample shape)."""
    elements: npt.NDArray[np.generic] = np.frombuffer(view, shape.element_type)
    return elements.reshape(slots, shape.batch_size, *shape.sample_shape)


class Memory(Protocol):
    """What the rows are in."""

    def view(self, length_bytes: int) -> memoryview:
        """Return a view of the first `length_bytes`."""


class Ring(ABC):
    """The rows of a ring of batches, as those who fill them see it.

    Parameters
    ----------
    slots : int
    shape : BatchShape
    memory : Memory
        As large as all slots.
    """

    def __init__(self, slots: int, shape: BatchShape, memory: Memory) -> None:
        self.shape = shape
        self.batch_size = shape.batch_size
        self.sample_bytes = shape.sample_bytes
        self.count = slots
        self._memory = memory
        size, total_bytes = self.sample_bytes, slots * shape.batch_bytes
        self._view = memory.view(total_bytes)
        rows = [self._view[start : start + size] for start in range(0, total_bytes, size)]
        self._rows = rows or [self._view] * (slots * self.batch_size)

    @abstractmethod
    def add(self, batch: int, samples: int) -> None:
        """Say that so many more samples of a batch are in their rows."""

    @abstractmethod
    def has_slot(self, batch: int) -> bool:
        """Tell whether a batch has its slot."""

    @abstractmethod
    def await_slot(self, batch: int) -> None:
        """Wait until a batch has its slot.

        Raises
        ------
        StoppedError
            When the run ends before.
        """

    def row(self, place: int) -> memoryview:
        """Return the memory of the sample at a place of the epoch; its batch must have a slot."""
        return self._rows[place % len(self._rows)]

    def put(self, place: int, sample: memoryview) -> None:
        """Copy a sample to its row, cut or followed by zeros to the row's length."""
        row, size_bytes = self.row(place), len(sample)
        if size_bytes > self.sample_bytes:
            sample, size_bytes = sample[: self.sample_bytes], self.sample_bytes
        if size_bytes > _COPIED_BY_NUMPY_BYTES:
            np.frombuffer(row, np.uint8)[:size_bytes] = np.frombuffer(sample, np.uint8)
        else:
            row[:size_bytes] = sample
        self.clear(place, size_bytes)

    def clear(self, place: int, start: int = 0) -> None:
        """Fill a row with zeros from byte `start` on."""
        if start < self.sample_bytes:
            np.frombuffer(self.row(place), np.uint8)[start:] = 0


class BatchSlots(Ring):
    """A ring of batches that threads fill and the step loop empties."""

    def __init__(self, slots: int, shape: BatchShape) -> None:
        super().__init__(slots, shape, Buffer(max(1, slots * shape.batch_bytes)))
        self._batches = as_batches(self._view, slots, shape)
        self._filled = [0] * slots
        self._released = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def add(self, batch: int, samples: int) -> None:
        """Count samples of a batch; see `Ring`."""
        slot = batch % self.count
        with self._changed:
            self._filled[slot] += samples
            if self._filled[slot] >= self.batch_size:
                self._changed.notify_all()

    def has_slot(self, batch: int) -> bool:
        """Tell whether a batch has its slot; see `Ring`."""
        return batch < self._released + self.count and self._error is None

    def await_slot(self, batch: int) -> None:
        """Wait until a batch has its slot; see `Ring`."""
        if self.has_slot(batch):
            return
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self.has_slot(batch))
            if self._error is not None:
                raise StoppedError

    def take(self, batch: int) -> npt.NDArray[np.generic]:
        """Return batch `batch`, shape (batch size, *sample shape); wait until it is full.

        Raises
        ------
        BaseException
            Whatever stopped a reader.
        """
        slot = batch % self.count
        if self._error is not None or self._filled[slot] < self.batch_size:
            with self._changed:
                wait_for(
                    self._changed,
                    lambda: self._error is not None or self._filled[slot] >= self.batch_size,
                )
                if self._error is not None:
                    raise self._error
        taken: npt.NDArray[np.generic] = self._batches[slot]
        return taken

    def release(self, batch: int) -> None:
        """Give the slot of `batch` back to the readers."""
        with self._changed:
            self._filled[batch % self.count] = 0
            self._released = batch + 1
            self._changed.notify_all()

    def are_all_released(self, batches: int) -> bool:
        """Tell whether the step loop is through with the first `batches` batches."""
        return self._released >= batches

    def ready(self) -> int:
        """Return how many full batches the step loop has not taken; from another thread, about."""
        in_hand = self._released % self.count
        filled = tuple(self._filled)
        return sum(n >= self.batch_size for slot, n in enumerate(filled) if slot != in_hand)

    def raise_error(self) -> None:
        """Raise what a reader came upon that no `take` has raised, such as a file too long."""
        if self._error is not None and not isinstance(self._error, StoppedError):
            raise self._error

    def rewind(self) -> None:
        """Forget everything, for the next epoch; no reader may be at work."""
        self._filled = [0] * self.count
        self._released, self._error = 0, None

    def stop(self, error: BaseException) -> None:
        """Wake everybody; the step loop gets `error`. The first error counts."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()


def make_slots(workload: Workload, split: Split = Split.TRAIN) -> BatchSlots:
    """Return the slots that a workload asks for; see `slots_of`."""
    return BatchSlots(slots_of(workload, split), BatchShape.of(workload, split))


def slots_of(workload: Workload, split: Split = Split.TRAIN) -> int:
    """Return how many slots ``prefetch_size`` and the shuffling of samples ask for.

    Raises
    ------
    UserError
        If they need more memory than the machine has.
    """
    dataset, reader, shape = workload.dataset, workload.reader, BatchShape.of(workload, split)
    slots = max(1, reader.prefetch_size) + 1
    if reader.sample_shuffle != "off":
        block = min(reader.shuffle_size or 1, dataset.num_samples_per_file)
        slots = max(slots, math.ceil(block / shape.batch_size) + 1)
    _require_memory(slots * shape.batch_bytes, workload)
    return slots


def _require_memory(needed_bytes: int, workload: Workload) -> None:
    memory_bytes = machine_memory_bytes()
    if needed_bytes > memory_bytes:
        reader = workload.reader
        raise UserError(
            f"the batches that are prefetched need {format_bytes(needed_bytes)}, and this machine "
            f"has {format_bytes(memory_bytes)}",
            where=f"reader.batch_size={reader.batch_size}, "
            f"reader.prefetch_size={reader.prefetch_size}, "
            f"reader.shuffle_size={reader.shuffle_size}",
            advice="lower them, or dataset.record_length_bytes_resize",
        )
