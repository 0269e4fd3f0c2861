"""Readers and prefetch: threads fill batch slots in the order of the epoch.

A task is one file, or a run of consecutive ones, of the epoch's order. Threads take tasks in order,
read and decode the files, and put what the step is handed into the slot of the batch that each
sample belongs to: straight from storage where the format allows that, else by one copy. There are
a few slots; a thread that is too far ahead waits for the step loop. The earliest unfinished task
never waits for a later one, so the loop always gets its next batch.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.records import dataclass
from cm4storage.core.units import MIB
from cm4storage.formats.format import format_of
from cm4storage.loader.file_reader import FileReader, ReadCounters
from cm4storage.loader.order import NO_FILE
from cm4storage.loader.sampling import Counts
from cm4storage.loader.slots import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import FileShape
    from cm4storage.loader.data_files import DataFiles
    from cm4storage.loader.limits import OnError
    from cm4storage.loader.order import EpochOrder, FileRead
    from cm4storage.loader.plugins import Reader
    from cm4storage.loader.preprocessing import Preprocessing
    from cm4storage.loader.slots import BatchSlots, Ring
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

_PATIENCE_S = 1.0
_LARGE_FILE_BYTES = MIB


@dataclass(frozen=True)
class Reading:
    """What all epochs of a split have in common.

    Attributes
    ----------
    workload : Workload
    files : DataFiles
    store : Store
    preprocessing : Preprocessing
    on_error : {'stop', 'skip'}
    make_reader : callable from DatasetSection to Reader
    """

    workload: Workload
    files: DataFiles
    store: Store
    preprocessing: Preprocessing
    on_error: OnError = "stop"
    make_reader: Callable[[DatasetSection], Reader] = format_of


class EpochReaders:
    """The reader threads of one epoch. Use as a context manager."""

    def __init__(
        self, reading: Reading, slots: BatchSlots, order: EpochOrder, steps: int, epoch: int = 1
    ) -> None:
        self._reading = reading
        self._epoch = epoch
        self._slots = slots
        self._steps = steps
        self._wanted = steps * slots.batch_size
        self._reads = order.reads(self._wanted)
        self._files_per_task = files_per_task(reading.workload, slots, order.samples_per_file)
        self._tasks_lock = threading.Lock()
        self._counters: list[ReadCounters] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> EpochReaders:
        self._slots.rewind()
        try:
            self._start(max(1, self._reading.workload.reader.read_threads))
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def _start(self, threads: int) -> None:
        for number in range(threads):
            counters = ReadCounters()
            thread = threading.Thread(
                target=self._run, args=(number, counters), name=f"reader-{number}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                raise UserError(
                    f"cannot start {threads} reader threads: {error} after {number}",
                    where=f"reader.read_threads={threads}",
                    advice="use fewer, or raise the limit of processes (ulimit -u)",
                ) from error
            self._counters.append(counters)
            self._threads.append(thread)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not self._slots.are_all_released(self._steps):
            self._slots.stop(StoppedError())
        # After an error a thread may hang in a request to a silent service: it is left behind.
        deadline = time.monotonic() + _PATIENCE_S if kind is not None else math.inf
        for thread in self._threads:
            left_s = deadline - time.monotonic()
            thread.join(None if left_s == math.inf else max(0.0, left_s))
        if kind is None:
            self._slots.raise_error()

    def take(self, step: int) -> npt.NDArray[np.generic]:
        """Return the batch of a step; wait until it is full."""
        return self._slots.take(step)

    def release(self, step: int) -> None:
        """Give the batch of a step back."""
        self._slots.release(step)

    def counters(self) -> ReadCounters:
        """Return what all threads have done; call it after the epoch."""
        total = ReadCounters()
        for counters in self._counters:
            total.merge(counters)
        return total

    def counts(self) -> Counts:
        """Return what was read so far; may be called from another thread."""
        total = Counts(queue_depth=self._slots.ready())
        for counters in tuple(self._counters):
            total = total.plus(counters.counts())
        return total

    def _next_task(self) -> list[FileRead]:
        with self._tasks_lock:
            return list(islice(self._reads, self._files_per_task))

    def _run(self, number: int, counters: ReadCounters) -> None:
        try:
            stream = self._epoch, number
            worker = Worker(self._reading, self._slots, self._wanted, counters, stream)
            while task := self._next_task():
                worker.do(task)
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the step loop, which raises it
            self._slots.stop(error)


def files_per_task(workload: Workload, slots: Ring, samples_per_file: int) -> int:
    """Return how many files a reader takes at a time.

    Small files are taken as one batch, since what threads say to each other costs as much as such
    a file; but not so many that a thread would find no slot free. Of large ones all threads fill
    the same batch.
    """
    dataset = workload.dataset
    files_per_batch, rest = divmod(slots.batch_size, samples_per_file)
    if rest or dataset.sample_bytes * samples_per_file >= _LARGE_FILE_BYTES:
        return 1
    share = slots.count * files_per_batch // max(1, workload.reader.read_threads)
    return max(1, min(files_per_batch, share))


class Worker:
    """One reader thread's work: fills the places of one task after the other."""

    def __init__(
        self,
        reading: Reading,
        slots: Ring,
        wanted: int,
        counters: ReadCounters,
        stream: tuple[int, int],
    ) -> None:
        self._slots = slots
        self._wanted = wanted
        self._skips = reading.on_error == "skip"
        self._counters = counters
        decoder = reading.make_reader(reading.workload.dataset)
        self._reader = FileReader(decoder, reading.files, reading.store, counters)
        self._preprocessing = reading.preprocessing.of_thread(*stream)
        self._files = reading.files
        self._is_plain = self._preprocessing is None and not self._skips
        has_one_sample = reading.files.samples_per_file == 1
        self._is_short = has_one_sample and self._is_plain and self._reader.is_direct
        self._batch_size, self._sample_bytes = self._slots.batch_size, self._slots.sample_bytes
        self._batch, self._count = 0, 0

    def do(self, task: Iterable[FileRead]) -> None:
        """Read the files of a task.

        Raises
        ------
        StorageFault
            If one cannot be read or is damaged, unless such files are skipped.
        """
        for read in task:
            if read.file_index == NO_FILE:
                self._pad_places(read)
            elif self._is_short:
                self._read_short(read)
            else:
                self._read(read)
        self._flush()

    def _read_short(self, read: FileRead) -> None:
        """Read a file as `_read` does: with less around it if its only sample fills its row."""
        place, shape = read.first, self._files.shape(read.file_index)
        if place >= self._wanted or shape.record_bytes < self._sample_bytes:
            self._read(read)
            return
        batch = place // self._batch_size
        self._await(batch)
        if self._reader.read_into(read.file_index, shape, (self._slots.row(place),)):
            self._count_in(batch, 1)
        else:
            self._read_by_copy(read, [])

    def _read(self, read: FileRead) -> None:
        done: list[int] = []
        try:
            if not (self._reader.is_direct and self._read_direct(read, done)):
                self._read_by_copy(read, done)
        except StorageFault as fault:
            if not self._skips:
                raise
            self._skip(read, done, fault)

    def _read_direct(self, read: FileRead, done: list[int]) -> bool:
        """Read a file straight into the rows of its samples, if all of them can have a slot."""
        slots = self._slots
        first_batch = read.first // slots.batch_size
        last_batch = min(read.last, self._wanted - 1) // slots.batch_size
        if last_batch - first_batch >= slots.count:
            return False
        self._await(last_batch)
        shape = self._files.shape(read.file_index)
        places = (read.first,) if shape.samples == 1 else tuple(read.places)
        rows = self._rows(places, shape)
        if not self._reader.read_into(read.file_index, shape, rows):
            return False
        if shape.record_bytes < slots.sample_bytes:
            self._pad(places, shape.record_bytes)
        if self._is_plain and first_batch == last_batch:
            self._count_in(first_batch, len(rows) - rows.count(None))
        else:
            for place in places:
                if place < self._wanted:
                    self._finish(place, done)
        return True

    def _rows(self, places: tuple[int, ...], shape: FileShape) -> list[memoryview | None]:
        """Return the rows of a file's samples; None for those that are not wanted."""
        slots, wanted, size_bytes = self._slots, self._wanted, shape.record_bytes
        rows: list[memoryview | None]
        rows = [slots.row(place) if place < wanted else None for place in places]
        if size_bytes < slots.sample_bytes:
            rows = [row and row[:size_bytes] for row in rows]
        return rows + [None] * (shape.samples - len(places))

    def _pad(self, places: tuple[int, ...], start: int) -> None:
        for place in places:
            if place < self._wanted:
                self._slots.clear(place, start)

    def _read_by_copy(self, read: FileRead, done: list[int]) -> None:
        count = 0
        with closing(self._reader.samples(read.file_index)) as samples:
            for place, sample in zip(read.places, samples, strict=False):
                count += 1
                if place < self._wanted:
                    self._await(place // self._slots.batch_size)
                    self._slots.put(place, sample)
                    self._finish(place, done)
            if count == self._files.samples_per_file:
                next(samples, None)  # says so if the file holds more

    def _await(self, batch: int) -> None:
        if not self._slots.has_slot(batch):
            self._flush()
            self._slots.await_slot(batch)

    def _finish(self, place: int, done: list[int]) -> None:
        """Count a sample that is in its row; the step loop hears of it batch by batch."""
        if self._preprocessing is not None:
            self._counters.preprocess.add(self._preprocessing.run())
        if self._skips:
            done.append(place)
        self._count_in(place // self._slots.batch_size, 1)

    def _count_in(self, batch: int, samples: int) -> None:
        if batch != self._batch:
            self._flush()
            self._batch = batch
        self._count += samples
        if self._count == self._slots.batch_size:
            self._flush()

    def _flush(self) -> None:
        if self._count:
            self._slots.add(self._batch, self._count)
            self._count = 0

    def _skip(self, read: FileRead, done: list[int], fault: StorageFault) -> None:
        """Leave out a file: zeros stand where its samples should."""
        self._counters.note_skipped(fault)
        filled = set(done)
        for place in read.places:
            if place < self._wanted and place not in filled:
                self._clear(place)
                self._finish(place, done)

    def _pad_places(self, read: FileRead) -> None:
        """Fill places for which nothing is read."""
        for place in read.places:
            self._clear(place)
            self._count_in(place // self._slots.batch_size, 1)

    def _clear(self, place: int) -> None:
        """Put zeros at a place."""
        self._await(place // self._slots.batch_size)
        self._slots.clear(place)
