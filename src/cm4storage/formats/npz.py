"""NPZ files as DLIO writes them: ``x`` with the samples and ``y`` with their labels.

Source: ``data_generator/npz_generator.py`` of dlio_benchmark: ``numpy.savez(x=records, y=labels)``
with records of shape (rows, columns, samples), uint8, and one int64 zero per sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.units import MIB
from cm4storage.formats.archive import ArchiveWriter, archive_bytes, read_directory, read_member
from cm4storage.formats.format import CorruptFile
from cm4storage.formats.npy import NpyHeader, decode_header, encode_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.formats.format import Content, FileShape, Source

_PART_BYTES = 2 * MIB


class Npz:
    """The NPZ format. See the module's text."""

    name = "npz"

    def file_bytes(self, shape: FileShape) -> int:
        """Return the exact size of a file that `encode` makes for `shape`."""
        return archive_bytes(
            [
                ("x.npy", len(_records_header(shape)) + _records_bytes(shape)),
                ("y.npy", len(_labels(shape))),
            ]
        )

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the archive's parts; the samples pass through one small, reused buffer."""
        archive = ArchiveWriter()
        header = _records_header(shape)
        size_bytes = _records_bytes(shape)
        yield from archive.member(
            "x.npy", len(header) + size_bytes, _records(header, size_bytes, content)
        )
        labels = _labels(shape)
        yield from archive.member("y.npy", len(labels), [memoryview(labels)])
        yield archive.directory()

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples of array ``x``; one sample a file is lent without copying."""
        with source.read(0, None) as view:
            try:
                member = read_directory(view)["x.npy"]
                array = read_member(view, member)
                header = decode_header(array)
                data = _checked_data(array, header)
            except KeyError:
                raise CorruptFile(source.name, "the archive has no array x", offset=0) from None
            except ValueError as error:
                raise CorruptFile(source.name, str(error), offset=0) from error
            yield from _samples(data, header)


def _records_header(shape: FileShape) -> bytes:
    return encode_header("|u1", (*shape.record_shape, shape.samples))


def _records_bytes(shape: FileShape) -> int:
    return shape.record_bytes * shape.samples


def _records(header: bytes, size_bytes: int, content: Content) -> Iterator[memoryview]:
    yield memoryview(header)
    buffer = memoryview(bytearray(min(size_bytes, _PART_BYTES)))
    left = size_bytes
    while left:
        part = buffer[: min(left, len(buffer))]
        content.fill(part)
        left -= len(part)
        yield part


def _labels(shape: FileShape) -> bytes:
    return encode_header("<i8", (shape.samples,)) + bytes(8 * shape.samples)


def _checked_data(array: memoryview, header: NpyHeader) -> memoryview:
    data = array[header.data_offset :]
    if len(data) != header.data_bytes:
        raise ValueError("array x has another size than its header says")
    if len(header.shape) != 3:
        raise ValueError(f"array x has shape {header.shape}, not (rows, columns, samples)")
    return data


def _samples(data: memoryview, header: NpyHeader) -> Iterator[memoryview]:
    if header.shape[2] == 1:
        yield data
        return
    import numpy as np

    records = np.frombuffer(data, header.dtype)
    if header.fortran_order:
        records = records.reshape(header.shape[::-1]).T
    else:
        records = records.reshape(header.shape)
    for number in range(header.shape[2]):
        sample = np.ascontiguousarray(records[..., number])
        yield sample.reshape(-1).view(np.uint8).data
