"""Reading one file after the other: what each reader thread does, and its timing."""

from __future__ import annotations

from contextlib import closing, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault
from cm4storage.core.records import dataclass, field
from cm4storage.formats.format import DirectFormat, SteppedSource
from cm4storage.loader.sampling import Counts
from cm4storage.results.histogram import Histogram
from cm4storage.storage.store import ReadsInSteps

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from cm4storage.formats.format import FileShape
    from cm4storage.loader.data_files import DataFiles
    from cm4storage.loader.plugins import Reader
    from cm4storage.storage.store import Store

_FAULTS_KEPT = 20
_HISTOGRAMS = "io", "decode", "preprocess"


@dataclass
class ReadCounters:
    """What one reader thread has done. Merged when the epoch ends.

    Attributes
    ----------
    io, decode, preprocess : Histogram
        Seconds of each read, and of decoding and preprocessing each sample.
    bytes_read, samples : int
        What came from storage, and the samples that were decoded.
    skipped_files : int
    faults : list of str
        The first errors of skipped files.
    cpu_s : float
        Processor time of readers that are processes of their own.
    """

    io: Histogram = field(default_factory=Histogram)
    decode: Histogram = field(default_factory=Histogram)
    preprocess: Histogram = field(default_factory=Histogram)
    bytes_read: int = 0
    samples: int = 0
    skipped_files: int = 0
    faults: list[str] = field(default_factory=list)
    cpu_s: float = 0.0

    def merge(self, other: ReadCounters) -> None:
        """Add what `other` has counted."""
        self.io.merge(other.io)
        self.decode.merge(other.decode)
        self.preprocess.merge(other.preprocess)
        self.bytes_read += other.bytes_read
        self.samples += other.samples
        self.skipped_files += other.skipped_files
        self.cpu_s += other.cpu_s
        self.add_faults(other.faults)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values; `from_json` is its inverse."""
        return vars(self) | {name: getattr(self, name).to_json() for name in _HISTOGRAMS}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ReadCounters:
        """Return the counters that `to_json` described."""
        return cls(**document | {n: Histogram.from_json(document[n]) for n in _HISTOGRAMS})

    def counts(self) -> Counts:
        """Return the sums; may be called from another thread while this one counts."""
        done = self.bytes_read, self.io.count_so_far, self.skipped_files
        return Counts(*done, cpu_s=self.cpu_s)

    def add_faults(self, faults: list[str]) -> None:
        """Keep further errors, as far as there is room."""
        self.faults = (self.faults + faults)[:_FAULTS_KEPT]

    def note_skipped(self, fault: StorageFault) -> None:
        """Count a file that is left out."""
        self.skipped_files += 1
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(str(fault))


class StoredFile:
    """One object of a store as the `Source` that formats read from; counts time and bytes.

    Attributes
    ----------
    io_s : float
        Seconds of all its reads, those of its siblings included.
    """

    __slots__ = ("_counters", "_key", "_main", "_store", "io_s")

    def __init__(
        self, store: Store, key: str, counters: ReadCounters, main: StoredFile | None = None
    ) -> None:
        self._store = store
        self._key = key
        self._counters = counters
        self._main = main or self
        self.io_s = 0.0

    def turn_to(self, key: str) -> None:
        """Be another object from now on, of which nothing was read."""
        self._key = key
        self.io_s = 0.0

    @property
    def name(self) -> str:
        """The object's URI."""
        return f"{self._store.uri}/{self._key}"

    @contextmanager
    def read(self, start: int, length: int | None) -> Iterator[memoryview]:
        """Lend a range of the object."""
        begin = perf_counter()
        with self._store.read(self._key, start=start, length=length) as view:
            self._note(begin, len(view))
            yield view

    def scatter(self, start: int, buffers: Sequence[memoryview]) -> int:
        """Fill buffers one after the other."""
        begin = perf_counter()
        count = self._store.scatter(self._key, buffers, start=start)
        self._note(begin, count)
        return count

    def size_bytes(self) -> int:
        """Return the object's size."""
        begin = perf_counter()
        size_bytes = self._store.stat(self._key).size_bytes
        self._note(begin, 0)
        return size_bytes

    def sibling(self, suffix: str) -> StoredFile:
        """Return the object with a longer name."""
        return StoredFile(self._store, self._key + suffix, self._counters, self._main)

    def _note(self, begin_s: float, count: int) -> None:
        self._add(perf_counter() - begin_s, count)

    def _add(self, elapsed_s: float, count: int) -> None:
        self._main.io_s += elapsed_s
        self._counters.io.add(elapsed_s)
        self._counters.bytes_read += count


class SteppedFile(StoredFile, SteppedSource):
    """An object of a store that `ReadsInSteps`."""

    __slots__ = ("_steps",)

    def __init__(self, store: Store, key: str, counters: ReadCounters, steps: ReadsInSteps) -> None:
        super().__init__(store, key, counters)
        self._steps = steps

    def read_steps(
        self, start: int, steps: Iterable[Sequence[memoryview]]
    ) -> Generator[int, None, None]:
        """Fill the buffers of one step after the other; all of them count as one read."""
        elapsed_s, count, begin = 0.0, 0, perf_counter()
        try:
            with closing(self._steps.read_steps(self._key, steps, start=start)) as reads:
                for came_bytes in reads:
                    elapsed_s += perf_counter() - begin
                    count += came_bytes
                    yield came_bytes
                    begin = perf_counter()
        finally:  # who has what was wanted does not ask again
            self._add(elapsed_s, count)


class FileReader:
    """Reads and decodes files of the data set for one thread, and times both stages.

    Attributes
    ----------
    is_direct : bool
        Whether `read_into` may work.
    """

    def __init__(
        self, decoder: Reader, files: DataFiles, store: Store, counters: ReadCounters
    ) -> None:
        self._files = files
        self._store = store
        self._counters = counters
        self._decoder = decoder
        self._direct = decoder if isinstance(decoder, DirectFormat) else None
        self._file = (
            SteppedFile(store, "", counters, store)
            if isinstance(store, ReadsInSteps)
            else StoredFile(store, "", counters)
        )
        self.is_direct = self._direct is not None

    def read_into(self, index: int, shape: FileShape, rows: Sequence[memoryview | None]) -> bool:
        """Read the samples of one file straight into `rows`; see `DirectFormat.decode_into`.

        Raises
        ------
        StorageFault
            If the file cannot be read or is damaged.
        """
        assert self._direct is not None
        counters, samples, file = self._counters, len(rows), self._file
        file.turn_to(self._files.key(index))
        begin = perf_counter()
        if not self._direct.decode_into(file, shape, rows):
            return False
        decode_s = max(0.0, perf_counter() - begin - file.io_s)
        counters.decode.add_many(decode_s / samples, samples)
        counters.samples += samples
        return True

    def samples(self, index: int) -> Generator[memoryview, None, None]:
        """Yield the samples of one file.

        Raises
        ------
        StorageFault
            If the file holds more or fewer samples than the workload says, or one of another size.
        """
        file = StoredFile(self._store, self._files.key(index), self._counters)
        shape = self._files.shape(index)
        counters, count = self._counters, 0
        begin = perf_counter()
        for sample in self._decoder.decode(file):
            counters.decode.add(max(0.0, perf_counter() - begin - file.io_s))
            file.io_s, count = 0.0, count + 1
            _check_sample(file, shape, count, len(sample))
            counters.samples += 1
            yield sample
            begin = perf_counter()
        if count != shape.samples:
            raise _foreign(file, f"{count} samples instead of {shape.samples}")


def _check_sample(file: StoredFile, shape: FileShape, count: int, size_bytes: int) -> None:
    if count > shape.samples:
        raise _foreign(file, f"more than {shape.samples} samples")
    if size_bytes != shape.record_bytes:
        expected = f"{size_bytes} bytes instead of {shape.record_bytes}"
        raise _foreign(file, f"sample {count - 1} has {expected}")


def _foreign(file: StoredFile, what: str) -> StorageFault:
    return StorageFault(
        f"the file does not hold what the workload says: {what}",
        where=file.name,
        meaning="it was made for another workload, or changed",
        advice="point --data_dir at the right data set, or generate it",
    )
