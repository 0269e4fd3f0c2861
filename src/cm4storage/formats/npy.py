"""NPY files as DLIO writes them: one array with the samples, by ``numpy.save``.

Source: ``data_generator/npy_generator.py`` of dlio_benchmark; `cm4storage.formats.arrays` says what
the array is, and which others are read. The format has no checksums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.formats.arrays import ArrayRules, record_parts, records_bytes, records_header
from cm4storage.formats.damage import corrupt_file
from cm4storage.formats.direct import Layout, Misses, StreamScratch, one_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection


class Npy:
    """The NPY format. See the module's text."""

    name = "npy"
    has_exact_size = True

    def __init__(self, dataset: DatasetSection) -> None:
        self._rules = ArrayRules.of(dataset)
        self._scratch = StreamScratch()
        self._misses = Misses()
        self._expected: tuple[FileShape, bytes, Layout] | None = None

    def file_bytes(self, shape: FileShape) -> int:
        """Return the exact size of a file that `encode` makes for `shape`."""
        return len(records_header(shape)) + records_bytes(shape)

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the array's parts; the samples pass through one small, reused buffer."""
        return record_parts(shape, content)

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples; one sample a file is lent without copying."""
        with source.read(0, None) as view:
            try:
                samples = self._rules.samples(view)
            except ValueError as error:
                raise corrupt_file(source.name, error) from error
            yield from samples

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Read a file with one sample by one scattered read; see `DirectFormat`."""
        if shape.samples != 1 or self._misses.are_too_many:
            return False
        if self._expected is None or self._expected[0] != shape:
            header = records_header(shape)
            layout = one_sample(len(header), records_bytes(shape), 0)
            self._expected = (shape, header, layout)
        _, header, layout = self._expected
        is_read = layout.read(source, rows, self._scratch) and layout.outside == header
        return self._misses.note(is_read=is_read)
