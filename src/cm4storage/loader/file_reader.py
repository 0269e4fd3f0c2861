"""Reading one file after the other: what each reader thread does, and its timing."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault
from cm4storage.formats.format import format_of
from cm4storage.results.histogram import Histogram
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload

    Shapes = Callable[[int], tuple[int, ...]]


@dataclass
class ReadCounters:
    """What one reader thread has done. Merged when the epoch ends."""

    io: Histogram = field(default_factory=Histogram)
    decode: Histogram = field(default_factory=Histogram)
    bytes_read: int = 0
    samples: int = 0

    def merge(self, other: ReadCounters) -> None:
        """Add what `other` has counted."""
        self.io.merge(other.io)
        self.decode.merge(other.decode)
        self.bytes_read += other.bytes_read
        self.samples += other.samples


class StoredFile:
    """One object of a store as the `Source` that formats read from; counts time and bytes."""

    def __init__(self, store: Store, key: str, counters: ReadCounters) -> None:
        self._store = store
        self._key = key
        self._counters = counters
        self.io_s = 0.0

    @property
    def name(self) -> str:
        """The object's URI."""
        return f"{self._store.uri}/{self._key}"

    @contextmanager
    def read(self, start: int, length: int | None) -> Iterator[memoryview]:
        """Lend a range of the object."""
        begin = time.perf_counter()
        with self._store.read(self._key, start=start, length=length) as view:
            self._note(begin, len(view))
            yield view

    def scatter(self, start: int, buffers: Sequence[memoryview]) -> int:
        """Fill buffers one after the other."""
        begin = time.perf_counter()
        count = self._store.scatter(self._key, buffers, start=start)
        self._note(begin, count)
        return count

    def size_bytes(self) -> int:
        """Return the object's size."""
        begin = time.perf_counter()
        size_bytes = self._store.stat(self._key).size_bytes
        self._note(begin, 0)
        return size_bytes

    def sibling(self, suffix: str) -> StoredFile:
        """Return the object with a longer name."""
        return StoredFile(self._store, self._key + suffix, self._counters)

    def _note(self, begin_s: float, count: int) -> None:
        elapsed_s = time.perf_counter() - begin_s
        self.io_s += elapsed_s
        self._counters.io.add(elapsed_s)
        self._counters.bytes_read += count


class FileReader:
    """Reads and decodes files of the data set for one thread, and times both stages."""

    def __init__(
        self, workload: Workload, shapes: Shapes, store: Store, counters: ReadCounters
    ) -> None:
        self._plan = Plan.of(workload)
        self._shapes = shapes
        self._format = format_of(workload.dataset)
        self._samples_per_file = workload.dataset.num_samples_per_file
        self._store = store
        self._counters = counters

    def samples(self, index: int) -> Generator[memoryview, None, None]:
        """Yield the samples of one file.

        Raises
        ------
        StorageFault
            If the file holds more or fewer samples than the workload says, or one of another size.
        """
        file = StoredFile(self._store, self._plan.key(Split.TRAIN, index), self._counters)
        sample_bytes = math.prod(self._shapes(index)) * self._plan.dataset.item_bytes
        counters, count = self._counters, 0
        begin = time.perf_counter()
        for sample in self._format.decode(file):
            counters.decode.add(max(0.0, time.perf_counter() - begin - file.io_s))
            file.io_s, count = 0.0, count + 1
            counters.samples += 1
            if count > self._samples_per_file:
                raise _foreign(file, f"more than {self._samples_per_file} samples")
            if len(sample) != sample_bytes:
                raise _foreign(
                    file, f"sample {count - 1} has {len(sample)} bytes instead of {sample_bytes}"
                )
            yield sample
            begin = time.perf_counter()
        if count != self._samples_per_file:
            raise _foreign(file, f"{count} samples instead of {self._samples_per_file}")


def _foreign(file: StoredFile, what: str) -> StorageFault:
    return StorageFault(
        f"the file does not hold what the workload says: {what}",
        where=file.name,
        meaning="it was made for another workload, or changed",
        advice="point --data_dir at the right data set, or generate it",
    )
