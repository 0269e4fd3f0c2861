"""The rows of batches in memory that several processes see, and what they tell each other there.

Before the rows there are words, each of which one process alone writes while an epoch lasts: how
many batches the step loop has given back, how many samples each reader has put into each slot, and
who waits for whom. So neither side makes a call for a batch unless the other one waits: then it
sends something.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.loader.file_reader import ReadCounters
from cm4storage.loader.sampling import Counts
from cm4storage.loader.slots import BatchShape, Ring, slots_of

if TYPE_CHECKING:
    from cm4storage.ranks.local_rank import Link
    from cm4storage.workload.model import Workload
    from cm4storage.workload.plan import Split

_WORD_BYTES: Final = 8
_RELEASED, _LOOP_WAITS, _LOOP_WORDS = 0, 1, 2
# Of each reader; what it has put into the slots follows.
_WAITS, _BYTES, _OPERATIONS, _SKIPPED, _CPU_NS, _READER_WORDS = range(6)


_lock = threading.Lock()


def fence() -> None:
    """Let what this thread has written be seen before what it writes or reads next.

    Else a processor may do it the other way round: a batch could be counted before it is there, or
    both sides wait for each other. To give a lock back and take it again keeps all to its order,
    also on processors that let later accesses move before the first release (ARM).
    """
    for _ in range(2):
        with _lock:
            pass


@dataclass(frozen=True)
class Places:
    """Where everything is in the shared memory.

    Attributes
    ----------
    shape : BatchShape
    slots, readers : int
    """

    shape: BatchShape
    slots: int
    readers: int

    @classmethod
    def of(cls, workload: Workload, split: Split) -> Places:
        """Return the places for a split of a workload."""
        readers = max(1, workload.reader.read_threads)
        return cls(BatchShape.of(workload, split), slots_of(workload, split), readers)

    @property
    def rows_start(self) -> int:
        """The byte at which the rows begin, on a page of their own."""
        words = _LOOP_WORDS + self.readers * self.reader_words
        return -(-words * _WORD_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def rows_bytes(self) -> int:
        """The size of all rows."""
        return self.slots * self.shape.batch_bytes

    @property
    def reader_words(self) -> int:
        """How many words each reader has."""
        return _READER_WORDS + self.slots

    @property
    def total_bytes(self) -> int:
        """The size of all of it."""
        return self.rows_start + self.rows_bytes

    def make_descriptor(self) -> int:
        """Return the descriptor of such memory, zeros, that no file system knows of."""
        descriptor = os.memfd_create("cm4storage-batches", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, self.total_bytes)
        return descriptor


class SharedMemory:
    """The memory behind a descriptor, faulted in."""

    def __init__(self, descriptor: int, places: Places) -> None:
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        view = memoryview(mmap.mmap(descriptor, places.total_bytes, flags=flags))
        self.words = view[: places.rows_start].cast("q")
        self._rows = view[places.rows_start :]
        self._slots, self._batch_size = places.slots, places.shape.batch_size
        self._first = [_LOOP_WORDS + n * places.reader_words for n in range(places.readers)]

    def view(self, length_bytes: int) -> memoryview:
        """Return a view of the first `length_bytes` of the rows."""
        return self._rows[:length_bytes]

    def clear(self) -> None:
        """Forget everything, for the next epoch; no reader may be at work."""
        for index in range(len(self.words)):
            self.words[index] = 0

    def first_word(self, reader: int) -> int:
        """Return the index of a reader's first word."""
        return self._first[reader]

    def is_full(self, batch: int) -> bool:
        """Tell whether a batch is full; a slot counts all samples that were ever put into it."""
        turn, slot = divmod(batch, self._slots)
        words, behind = self.words, _READER_WORDS + slot
        filled = sum([words[first + behind] for first in self._first])
        return filled >= (turn + 1) * self._batch_size

    def release(self, batches: int) -> list[int]:
        """Give the first `batches` batches back; return which readers wait for that."""
        fence()
        self.words[_RELEASED] = batches
        fence()
        return [n for n, first in enumerate(self._first) if self.words[first + _WAITS]]

    def let_loop_wait(self, *, waits: bool) -> None:
        """Note whether the step loop waits for a reader."""
        self.words[_LOOP_WAITS] = waits
        fence()

    def counts(self) -> Counts:
        """Return what all readers have done in the epoch so far."""
        total = Counts()
        for first in self._first:
            words = self.words[first : first + _READER_WORDS].tolist()
            done = words[_BYTES], words[_OPERATIONS], words[_SKIPPED]
            total = total.plus(Counts(*done, cpu_s=words[_CPU_NS] / 1e9))
        return total


class SharedRing(Ring):
    """The ring as a reader process sees it.

    Attributes
    ----------
    counters : ReadCounters
        Of the epoch at hand.
    begin_cpu_s : float
        This process's processor time when the epoch began.
    """

    def __init__(self, places: Places, descriptor: int, bell: int, link: Link) -> None:
        shared = SharedMemory(descriptor, places)
        super().__init__(places.slots, places.shape, shared)
        self._shared, self._words = shared, shared.words
        self._first = shared.first_word(link.rank)
        self._bell = bell
        self._link = link
        self.begin()

    def begin(self) -> ReadCounters:
        """Count from here on for another epoch; return its counters."""
        self.counters, self.begin_cpu_s = ReadCounters(), time.process_time()
        return self.counters

    def add(self, batch: int, samples: int) -> None:
        """Count samples of a batch, and wake the step loop if it waits; see `Ring`."""
        words, first, counts = self._words, self._first, self.counters.counts()
        words[first + _BYTES] = counts.bytes_read
        words[first + _OPERATIONS] = counts.operations
        words[first + _SKIPPED] = counts.skipped_files
        words[first + _CPU_NS] = int((time.process_time() - self.begin_cpu_s) * 1e9)
        fence()
        words[first + _READER_WORDS + batch % self.count] += samples
        fence()
        if words[_LOOP_WAITS] and self._shared.is_full(batch):
            os.eventfd_write(self._bell, 1)

    def has_slot(self, batch: int) -> bool:
        """Tell whether a batch has its slot; see `Ring`."""
        return batch < self._words[_RELEASED] + self.count

    def await_slot(self, batch: int) -> None:
        """Wait until a batch has its slot; a signal ends the wait; see `Ring`."""
        self._words[self._first + _WAITS] = 1
        fence()
        try:
            while not self.has_slot(batch):
                self._link.receive_soon()
        finally:
            self._words[self._first + _WAITS] = 0
