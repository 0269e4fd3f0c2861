"""Synthetic files as DLIO writes them: small texts that nobody reads.

Source: ``data_generator/synthetic_generator.py`` and ``reader/synthetic_reader.py`` of
dlio_benchmark: a file holds its number as text; the reader opens none and hands over the same
random sample each time. Here too the samples come from memory, the same for every file: random
numbers of the element type, without a byte of a file. What a run with this format measures is
everything but storage.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from typing import TYPE_CHECKING

from cm4storage.core.units import MIB
from cm4storage.formats.elements import content_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

_PATTERN_BYTES = MIB
_MOST_DIGITS = 10


class Synthetic:
    """The synthetic format. See the module's text."""

    name = "synthetic"
    has_exact_size = False

    def __init__(self, dataset: DatasetSection) -> None:
        self._element_type = dataset.element_type
        self._samples = dataset.num_samples_per_file
        side = int(math.sqrt(dataset.record_length_bytes))
        self._sample_bytes = math.prod(dataset.record_dims or (side, side)) * dataset.item_bytes
        self._pattern = memoryview(b"")

    def file_bytes(self, shape: FileShape) -> int:
        """Return the size of the longest text."""
        del shape
        return _MOST_DIGITS

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the file's number as text."""
        del shape
        yield memoryview(str(content.number).encode())

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield samples of the data set's nominal size; nothing is read."""
        del source
        sample = memoryview(bytearray(self._sample_bytes))
        self._fill(sample)
        yield from itertools.repeat(sample, self._samples)

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Fill the rows with samples of any shape; nothing is read."""
        del source, shape
        for row in rows:
            if row is not None:
                self._fill(row)
        return True

    def _fill(self, row: memoryview) -> None:
        if not self._pattern:
            self._pattern = _pattern(self._element_type)
        for start in range(0, len(row), _PATTERN_BYTES):
            part = row[start : start + _PATTERN_BYTES]
            part[:] = self._pattern[: len(part)]


class _RandomStream:
    """The same random bytes each time."""

    number = 0

    def fill(self, buffer: memoryview) -> None:
        """Write the first bytes of the stream into `buffer`."""
        buffer[:] = hashlib.shake_128(b"cm4storage synthetic 1").digest(len(buffer))


@functools.cache
def _pattern(element_type: str) -> memoryview:
    pattern = memoryview(bytearray(_PATTERN_BYTES))
    content_of(element_type, _RandomStream()).fill(pattern)
    return pattern.toreadonly()
