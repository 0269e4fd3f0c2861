"""The Format protocol, and the table of formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cm4storage.core.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Content(Protocol):
    """The bytes of one file's samples: an endless stream that starts at the first sample."""

    def fill(self, buffer: memoryview) -> None:
        """Write the next ``len(buffer)`` bytes of the stream into `buffer`."""


class Source(Protocol):
    """One file to be read, whatever store it is in."""

    @property
    def name(self) -> str:
        """The file's name in error messages."""

    def read(self, start: int, length: int | None) -> AbstractContextManager[memoryview]:
        """Lend the bytes from `start` on, `length` of them or to the end; shorter at the end."""


@dataclass(frozen=True)
class FileShape:
    """What a file holds: `samples` records of uint8 with `record_shape` rows and columns."""

    record_shape: tuple[int, int]
    samples: int

    @property
    def record_bytes(self) -> int:
        """The size of one sample in bytes."""
        return self.record_shape[0] * self.record_shape[1]


class Format(Protocol):
    """One file format."""

    name: str

    def file_bytes(self, shape: FileShape) -> int:
        """Return the exact size of a file that `encode` makes for `shape`."""

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


def format_named(name: str) -> Format:
    """Return the format that ``dataset.format`` names.

    Raises
    ------
    KeyError
        For a name that `cm4storage.workload.rules` should have refused.
    """
    from cm4storage.formats.npz import Npz
    from cm4storage.formats.tfrecord import TfRecord

    table: dict[str, type[Format]] = {"npz": Npz, "tfrecord": TfRecord}
    return table[name]()
