"""Arrays with the samples of a file in their last dimension, as npy and npz hold them.

Source: ``data_generator/npz_generator.py`` of dlio_benchmark: an array has the shape
``(*record_dims, samples)``. Sample i is the bytes of ``array[..., i]`` in C order, little-endian.
"""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.core.units import MIB
from cm4storage.formats.damage import Damage
from cm4storage.formats.elements import content_of
from cm4storage.formats.npy_header import decode_header, encode_header, type_code
from cm4storage.formats.parts import filled_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Content, FileShape
    from cm4storage.formats.npy_header import NpyHeader
    from cm4storage.workload.sections import DatasetSection

_BLOCK_BYTES = 8 * MIB
_PLAIN_RANK = 2


def records_header(shape: FileShape) -> bytes:
    """Return the header of the array that holds the samples of a file."""
    return encode_header(type_code(shape.element_type), (*shape.record_shape, shape.samples))


def records_bytes(shape: FileShape) -> int:
    """Return the size of that array without its header."""
    return shape.record_bytes * shape.samples


def record_parts(shape: FileShape, content: Content) -> Iterator[memoryview]:
    """Yield that array: its header, and its elements through one reused buffer."""
    yield memoryview(records_header(shape))
    yield from record_elements(shape, content)


def record_elements(shape: FileShape, content: Content) -> Iterator[memoryview]:
    """Yield the elements of that array."""
    return filled_parts(records_bytes(shape), content_of(shape.element_type, content))


@dataclass(frozen=True)
class ArrayRules:
    """What an array must be to hold the samples of a data set.

    Attributes
    ----------
    rank : int
        The number of its dimensions.
    element_type : str
    """

    rank: int
    element_type: str

    @classmethod
    def of(cls, dataset: DatasetSection) -> ArrayRules:
        """Return the rules of a data set."""
        return cls(len(dataset.record_dims or (0,) * _PLAIN_RANK) + 1, dataset.element_type)

    def samples(self, array: memoryview) -> Iterator[memoryview]:
        """Return the samples of an array that has a header; each ends when the next is asked for.

        Raises
        ------
        ValueError
            At once, saying what is wrong with the array.
        """
        header = decode_header(array)
        data = array[header.data_offset :]
        self._check(header, len(data))
        return _samples(data, header)

    def _check(self, header: NpyHeader, data_bytes: int) -> None:
        if len(header.shape) != self.rank:
            raise ValueError(
                f"the array has shape {header.shape}, not {self.rank} dimensions, of which the "
                "last is that of the samples"
            )
        wanted = type_code(self.element_type)
        if header.dtype[1:] != wanted[1:]:
            raise ValueError(
                f"the array has elements of type {header.dtype!r}, not {self.element_type}"
            )
        if data_bytes != header.data_bytes:
            raise Damage(
                f"the array has {data_bytes} bytes of elements, and {header.data_bytes} by its "
                "header",
                header.data_offset + min(data_bytes, header.data_bytes),
            )
        if header.shape[-1] and not data_bytes:
            raise ValueError(f"the array has shape {header.shape}: samples without any byte")


def _samples(data: memoryview, header: NpyHeader) -> Iterator[memoryview]:
    try:
        if header.shape[-1] == 1 and not _is_swapped(header) and _is_in_c_order(header):
            yield data
        elif header.shape[-1]:
            yield from _copied_samples(data, header)
    finally:
        with contextlib.suppress(BufferError):  # somebody still looks at it
            data.release()


def _is_in_c_order(header: NpyHeader) -> bool:
    """Tell whether the elements of the only sample are in C order; with one long side they are."""
    return not header.fortran_order or sum(side != 1 for side in header.shape) <= 1


def _is_swapped(header: NpyHeader) -> bool:
    is_big = header.dtype[0] == ">" or (header.dtype[0] == "=" and sys.byteorder == "big")
    return is_big and header.item_bytes > 1


def _copied_samples(data: memoryview, header: NpyHeader) -> Iterator[memoryview]:
    """Yield copies of the samples, brought into C order some at a time."""
    *sides, samples = header.shape
    order = ">" if _is_swapped(header) else "<"
    import numpy as np

    elements: npt.NDArray[np.unsignedinteger] = np.frombuffer(data, f"{order}u{header.item_bytes}")
    if header.fortran_order:
        records = np.moveaxis(elements.reshape(header.shape[::-1]).T, -1, 0)
    else:
        records = np.moveaxis(elements.reshape(header.shape), -1, 0)
    record_bytes = math.prod(sides) * header.item_bytes
    step = max(1, _BLOCK_BYTES // record_bytes)
    del elements
    for start in range(0, samples, step):
        block = np.ascontiguousarray(records[start : start + step], f"<u{header.item_bytes}")
        for record in block:
            yield memoryview(record.reshape(-1).view(np.uint8))
