"""The Format protocol, and the table of formats."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cm4storage.core.errors import StorageFault
from cm4storage.workload.sections import item_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from cm4storage.workload.sections import DatasetSection


class Content(Protocol):
    """The bytes of one file's samples: an endless stream that starts at the first sample.

    Attributes
    ----------
    number : int
        The file's number within its split.
    """

    number: int

    def fill(self, buffer: memoryview) -> None:
        """Write the next ``len(buffer)`` bytes of the stream into `buffer`."""


class Source(Protocol):
    """One file to be read, whatever store it is in."""

    @property
    def name(self) -> str:
        """The file's name in error messages."""

    def read(self, start: int, length: int | None) -> AbstractContextManager[memoryview]:
        """Lend the bytes from `start` on, `length` of them or to the end; shorter at the end."""

    def scatter(self, start: int, buffers: Sequence[memoryview]) -> int:
        """Fill `buffers` one after the other from byte `start` on; return how many bytes came."""

    def size_bytes(self) -> int:
        """Return the file's size; it may take a request."""

    def sibling(self, suffix: str) -> Source:
        """Return the file whose name is this one's with `suffix` at its end."""


class SteppedSource(ABC):
    """A `Source` that can be read step by step.

    A class, since to look at an object for a protocol's methods takes 20 us, for each file.
    """

    __slots__ = ()

    @abstractmethod
    def read_steps(
        self, start: int, steps: Iterable[Sequence[memoryview]]
    ) -> Generator[int, None, None]:
        """Fill the buffers of one step after the other; yield how many bytes came with each."""


@dataclass(frozen=True)
class FileShape:
    """What a file holds: `samples` records of one shape and element type.

    Attributes
    ----------
    record_shape : tuple of int
    samples : int
    element_type : str
        The numpy name of the elements' type; a sample is its bytes in C order, little-endian.
    """

    record_shape: tuple[int, ...]
    samples: int
    element_type: str = "uint8"

    @functools.cached_property
    def record_bytes(self) -> int:
        """The size of one sample in bytes."""
        return math.prod(self.record_shape) * item_bytes(self.element_type)


class Format(Protocol):
    """One file format. An instance serves one thread; it may learn from one file for the next.

    Attributes
    ----------
    name : str
        As in ``dataset.format``.
    has_exact_size : bool
        Whether `file_bytes` is exact, and no estimate.
    """

    name: str
    has_exact_size: bool

    def file_bytes(self, shape: FileShape) -> int:
        """Return the size of a file that `encode` makes for `shape`.

        Where the encoder decides that, it is what the largest such file may take.
        """

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the parts of a file. A part is valid until the next one is asked for."""

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples of a file as one-dimensional views of uint8, checksums verified.

        A sample is valid until the next one is asked for.

        Raises
        ------
        CorruptFile
            Naming the file, the record and the byte.
        """


@runtime_checkable
class DirectFormat(Protocol):
    """A format whose samples can be read straight to where they are wanted."""

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Read and verify the samples of a file, sample i into ``rows[i]``.

        A row takes the first bytes of its sample; it is never longer than a sample. None: the
        sample is read and verified, but not wanted.

        Returns
        -------
        bool
            False where the file's layout is not known (yet) or not as `shape` says: then the rows
            hold anything, and the caller decodes the file.

        Raises
        ------
        CorruptFile
            Naming the file, the record and the byte.
        """


@dataclass(frozen=True)
class Companion:
    """A small file that belongs to a data file, such as an index.

    Attributes
    ----------
    key : str
        Its name below the data set's root.
    content : bytes
    """

    key: str
    content: bytes


@runtime_checkable
class HasCompanions(Protocol):
    """A format whose files come with others."""

    def companions(self, key: str, shape: FileShape) -> Iterator[Companion]:
        """Yield what belongs to the data file `key`, such as ``train/img_0_of_8.tfrecord``."""


class CorruptFile(StorageFault):
    """A file does not hold what its format says."""

    def __init__(self, name: str, what: str, *, offset: int, record: int | None = None) -> None:
        place = f"{name}, byte {offset}"
        if record is not None:
            place += f", record {record}"
        super().__init__(
            f"damaged data: {what}",
            where=place,
            meaning="the file was cut or changed after it was written, or it is no such file",
            advice="remove it and generate the data set again",
        )


@runtime_checkable
class HasIndexes(Protocol):
    """A format that reads other files with each data file.

    Attributes
    ----------
    index_suffixes : tuple of str
        What their names have at the end of the data file's.
    """

    index_suffixes: tuple[str, ...]


def format_of(dataset: DatasetSection) -> Format:
    """Return the format of a data set.

    Raises
    ------
    KeyError
        For a name that `cm4storage.workload.rules` should have refused.
    """
    kind = _FORMATS[dataset.format]()
    return kind(dataset)


def checks_itself(name: str) -> bool:
    """Tell whether files of a format hold checksums over their samples, which readers compare.

    npz and png have CRC-32, tfrecord CRC-32C, parquet one for each page, and our jpeg files hold
    one of all their bytes. What has none is compared with digests beside it, where it is stored
    as an object.
    """
    return name in ("npz", "tfrecord", "png", "jpeg", "parquet", "synthetic")


_FORMATS: dict[str, Callable[[], Callable[[DatasetSection], Format]]] = {
    "npz": lambda: import_module("cm4storage.formats.npz").Npz,
    "npy": lambda: import_module("cm4storage.formats.npy").Npy,
    "hdf5": lambda: import_module("cm4storage.formats.hdf5").Hdf5,
    "tfrecord": lambda: import_module("cm4storage.formats.tfrecord").TfRecord,
    "csv": lambda: import_module("cm4storage.formats.csv_text").Csv,
    "jpeg": lambda: import_module("cm4storage.formats.image").Jpeg,
    "png": lambda: import_module("cm4storage.formats.image").Png,
    "indexed_binary": lambda: import_module("cm4storage.formats.indexed_binary").IndexedBinary,
    "mmap_indexed_binary": lambda: (
        import_module("cm4storage.formats.indexed_binary").MmapIndexedBinary
    ),
    "parquet": lambda: import_module("cm4storage.formats.parquet").Parquet,
    "synthetic": lambda: import_module("cm4storage.formats.synthetic").Synthetic,
}
"""Where the formats are; a run imports only the one that it needs."""
