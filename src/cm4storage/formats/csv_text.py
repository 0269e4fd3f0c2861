"""CSV files: a line for each sample, a field for each of its elements.

Source: ``data_generator/csv_generator.py`` of dlio_benchmark, which has pandas write a frame with a
line for each sample, all lines alike. Here all lines differ, and there are neither names of columns
nor numbers of lines; files with both, as DLIO's have them, are read too. Such a file starts with a
comma: the name of the column of numbers is empty. Compression is that of pandas.

Plain text has no checksum. A number that was changed to another number cannot be told from a right
one; a file that is cut within a line can.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.core.units import MIB
from cm4storage.formats.csv_lines import CsvLines
from cm4storage.formats.damage import Damage
from cm4storage.formats.elements import content_of
from cm4storage.formats.format import CorruptFile
from cm4storage.formats.text_compression import COMPRESSIONS, compressed, text_blocks
from cm4storage.formats.text_numbers import most_bytes, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

_VALUES_AT_ONCE = 2**15
_PART_BYTES = 16 * MIB


class Csv:
    """The CSV format. See the module's text."""

    name = "csv"
    has_exact_size = False

    def __init__(self, dataset: DatasetSection) -> None:
        if dataset.compression not in COMPRESSIONS:
            raise UserError(
                f"dataset.compression: {dataset.compression} is not for csv",
                where="dataset.format=csv",
                advice=f"supported: {', '.join(COMPRESSIONS)}",
            )
        self._compression = dataset.compression
        self._level = dataset.compression_level
        self._element_type = dataset.element_type

    def file_bytes(self, shape: FileShape) -> int:
        """Return what the text takes at most; compressed texts are smaller."""
        values = math.prod(shape.record_shape) * shape.samples
        return most_bytes(shape.element_type, values) + 512

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the text, some thousand numbers at a time."""
        return compressed(_lines(shape, content), self._compression, self._level)

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the numbers of each line; of plain text no more is held than a part and a line."""
        lines = CsvLines(self._element_type)
        try:
            yield from lines.samples(self._text(source))
        except Damage as damage:
            raise CorruptFile(
                source.name, damage.what, offset=damage.offset, record=lines.record
            ) from None

    def _text(self, source: Source) -> Iterator[bytes]:
        if self._compression != "none":
            with source.read(0, None) as view:
                yield from text_blocks(view, self._compression)
            return
        start, came_bytes = 0, _PART_BYTES
        while came_bytes == _PART_BYTES:
            with source.read(start, _PART_BYTES) as view:
                came_bytes = len(view)
                yield from text_blocks(view, self._compression)
            start += came_bytes


def _lines(shape: FileShape, content: Content) -> Iterator[memoryview]:
    import numpy as np

    content = content_of(shape.element_type, content)
    columns = math.prod(shape.record_shape)
    total, done = columns * shape.samples, 0
    buffer = np.empty(min(total, _VALUES_AT_ONCE), shape.element_type)
    while done < total:
        values = buffer[: min(total - done, len(buffer))]
        content.fill(values.view(np.uint8).data)
        yield text_of(values, columns, done % columns).data
        done += len(values)
