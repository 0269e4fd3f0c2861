"""Readers and prefetch: threads fill batch slots in the order of the epoch.

A task is a run of consecutive files of the epoch's order. Threads take tasks in order, read and
decode the files, and copy what the step is handed into the slot of the batch that each sample
belongs to. There are a few slots; a thread that is too far ahead waits for the step loop. The
earliest unfinished task never waits for a later one, so the loop always gets its next batch.
"""

from __future__ import annotations

import math
import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from cm4storage.core.errors import UserError
from cm4storage.core.units import format_bytes
from cm4storage.core.waiting import wait_for
from cm4storage.loader.file_reader import FileReader, ReadCounters
from cm4storage.workload.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from cm4storage.loader.order import EpochOrder
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


class BatchSlots:
    """A ring of batches that threads fill and the step loop empties."""

    def __init__(self, slots: int, batch_size: int, sample_bytes: int) -> None:
        self.batch_size = batch_size
        self.sample_bytes = sample_bytes
        self._slots = np.zeros((slots, batch_size, sample_bytes), np.uint8)
        self._filled = [0] * slots
        self._released = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, place: int, sample: memoryview) -> None:
        """Copy a sample to its place in the epoch; wait until its batch has a slot.

        What is longer than a slot's row is cut, what is shorter is followed by zeros.
        """
        batch, row = divmod(place, self.batch_size)
        self._await_slot(batch)
        slot = batch % len(self._slots)
        target = self._slots[slot, row]
        taken = min(len(sample), self.sample_bytes)
        target[:taken] = np.frombuffer(sample, np.uint8, taken)
        target[taken:] = 0
        with self._changed:
            self._filled[slot] += 1
            if self._filled[slot] == self.batch_size:
                self._changed.notify_all()

    def _await_slot(self, batch: int) -> None:
        if batch < self._released + len(self._slots) and self._error is None:
            return
        with self._changed:
            self._changed.wait_for(
                lambda: self._error is not None or batch < self._released + len(self._slots)
            )
            if self._error is not None:
                raise _StoppedError

    def take(self, batch: int) -> npt.NDArray[np.uint8]:
        """Return batch `batch`, shape (batch size, bytes), uint8; wait until it is full.

        Raises
        ------
        BaseException
            Whatever stopped a reader.
        """
        slot = batch % len(self._slots)
        with self._changed:
            wait_for(
                self._changed,
                lambda: self._error is not None or self._filled[slot] >= self.batch_size,
            )
            if self._error is not None:
                raise self._error
        batch_slot: npt.NDArray[np.uint8] = self._slots[slot]
        return batch_slot

    def release(self, batch: int) -> None:
        """Give the slot of `batch` back to the readers."""
        with self._changed:
            self._filled[batch % len(self._slots)] = 0
            self._released = batch + 1
            self._changed.notify_all()

    def are_all_released(self, batches: int) -> bool:
        """Tell whether the step loop is through with the first `batches` batches."""
        return self._released >= batches

    def raise_error(self) -> None:
        """Raise what a reader came upon that no `take` has raised, such as a file too long."""
        if self._error is not None and not isinstance(self._error, _StoppedError):
            raise self._error

    def rewind(self) -> None:
        """Forget everything, for the next epoch; no reader may be at work."""
        self._filled = [0] * len(self._slots)
        self._released, self._error = 0, None

    def stop(self, error: BaseException) -> None:
        """Wake everybody; the step loop gets `error`. The first error counts."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()


_PATIENCE_S = 1.0


class _StoppedError(Exception):
    """Ends a reader thread whose run has ended."""


def make_slots(workload: Workload) -> BatchSlots:
    """Return the slots that ``prefetch_size`` and the shuffling of samples ask for.

    A row holds int(sqrt(record_length_bytes_resize or record_length_bytes)) squared bytes, as the
    sample that DLIO hands over does.

    Raises
    ------
    UserError
        If they need more memory than the machine has.
    """
    dataset, reader = workload.dataset, workload.reader
    length = dataset.record_length_bytes_resize or dataset.record_length_bytes
    side = int(math.sqrt(length))
    slots = max(1, reader.prefetch_size) + 1
    if reader.sample_shuffle != "off":
        block = min(reader.shuffle_size or 1, dataset.num_samples_per_file)
        slots = max(slots, math.ceil(block / reader.batch_size) + 1)
    _require_memory(slots * reader.batch_size * side * side, workload)
    return BatchSlots(slots, reader.batch_size, side * side)


def _require_memory(needed_bytes: int, workload: Workload) -> None:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
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


class EpochReaders:
    """The reader threads of one epoch. Use as a context manager."""

    def __init__(
        self, workload: Workload, store: Store, order: EpochOrder, slots: BatchSlots, steps: int
    ) -> None:
        self._workload = workload
        self._store = store
        self._order = order
        self._slots = slots
        self._shapes = Plan.of(workload).shapes()
        self._steps = steps
        self._samples_wanted = steps * workload.reader.batch_size
        self._tasks = self._split_into_tasks()
        self._tasks_lock = threading.Lock()
        self._counters: list[ReadCounters] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> EpochReaders:
        self._slots.rewind()
        for number in range(max(1, self._workload.reader.read_threads)):
            counters = ReadCounters()
            thread = threading.Thread(
                target=self._run, args=(counters,), name=f"reader-{number}", daemon=True
            )
            self._counters.append(counters)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not self._slots.are_all_released(self._steps):
            self._slots.stop(_StoppedError())
        # After an error a thread may hang in a request to a silent service: it is left behind.
        deadline = time.monotonic() + _PATIENCE_S if kind is not None else math.inf
        for thread in self._threads:
            left_s = deadline - time.monotonic()
            thread.join(None if left_s == math.inf else max(0.0, left_s))
        if kind is None:
            self._slots.raise_error()

    def counters(self) -> ReadCounters:
        """Return what all threads have done; call it after the epoch."""
        total = ReadCounters()
        for counters in self._counters:
            total.merge(counters)
        return total

    def _split_into_tasks(self) -> Iterator[range]:
        """Yield ranges of file positions: the files of one batch, where files fill batches."""
        batch_size, per_file = self._workload.reader.batch_size, self._order.samples_per_file
        files_per_task = batch_size // per_file if batch_size % per_file == 0 else 1
        files = math.ceil(self._samples_wanted / per_file)
        for start in range(0, files, files_per_task):
            yield range(start, min(start + files_per_task, files))

    def _next_task(self) -> range | None:
        with self._tasks_lock:
            return next(self._tasks, None)

    def _run(self, counters: ReadCounters) -> None:
        try:
            reader = FileReader(self._workload, self._shapes, self._store, counters)
            while (task := self._next_task()) is not None:
                for position in task:
                    self._read(position, reader)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the step loop, which raises it
            self._slots.stop(error)

    def _read(self, position: int, reader: FileReader) -> None:
        index = self._order.file_at(position)
        base = position * self._order.samples_per_file
        place_of = self._order.places(index)
        with closing(reader.samples(index)) as samples:
            for number, sample in enumerate(samples):
                if base + self._order.earliest_place(number) >= self._samples_wanted:
                    break
                place = base + place_of(number)
                if place < self._samples_wanted:
                    self._slots.put(place, sample)
