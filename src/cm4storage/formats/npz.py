"""NPZ files as DLIO writes them: ``x`` with the samples and ``y`` with their labels.

Source: ``data_generator/npz_generator.py`` of dlio_benchmark: ``numpy.savez(x=records, y=labels)``
with records of shape (rows, columns, samples), uint8, and one int64 zero per sample.

Other writers' arrays are read too, if ``x`` has three dimensions and an element type of fixed size
for numbers or truth values. A sample is its bytes then, ``x[..., i].tobytes()``: what an element
means, and its byte order, do not matter here. Texts, times, records and objects are refused.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.core.units import MIB
from cm4storage.formats.archive import ArchiveWriter, archive_bytes, read_directory, read_member
from cm4storage.formats.format import CorruptFile
from cm4storage.formats.npy_header import NpyHeader, decode_header, encode_header, type_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

_PART_BYTES = 2 * MIB


class Npz:
    """The NPZ format. See the module's text."""

    name = "npz"
    has_exact_size = True

    def __init__(self, dataset: DatasetSection) -> None:
        del dataset

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
                data, header = _array_x(view)
            except KeyError:
                raise CorruptFile(source.name, "the archive has no array x", offset=0) from None
            except ValueError as error:
                raise CorruptFile(source.name, str(error), offset=0) from error
            yield from _samples(data, header)


def _array_x(view: memoryview) -> tuple[memoryview, NpyHeader]:
    array = read_member(view, read_directory(view)["x.npy"])
    header = decode_header(array)
    return _checked_data(array, header), header


def _records_header(shape: FileShape) -> bytes:
    return encode_header(type_code(shape.element_type), (*shape.record_shape, shape.samples))


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
    if header.shape[2] and not data:
        raise ValueError(f"array x has shape {header.shape}: samples without any byte")
    return data


def _samples(data: memoryview, header: NpyHeader) -> Iterator[memoryview]:
    """Yield the samples; each ends when the next is asked for, so that the store has its memory."""
    rows, columns, samples = header.shape
    try:
        if samples == 1 and (not header.fortran_order or 1 in (rows, columns)):
            yield data
            return
        for number in range(samples):
            yield _sample(data, header, number)
    finally:
        with contextlib.suppress(BufferError):  # somebody still looks at it
            data.release()


def _sample(data: memoryview, header: NpyHeader, number: int) -> memoryview:
    """Return a copy of sample `number`, its elements in C order."""
    import numpy as np

    elements: npt.NDArray[np.void] = np.frombuffer(data, f"V{header.item_bytes}")
    if header.fortran_order:
        records = elements.reshape(header.shape[::-1]).T
    else:
        records = elements.reshape(header.shape)
    return memoryview(records[..., number].tobytes())
