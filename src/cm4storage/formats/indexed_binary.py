"""Indexed binary files as DLIO writes them: samples without anything around them, and two indexes.

``NAME.off.idx`` and ``NAME.sz.idx`` have one little-endian uint64 per sample: where it starts, and
its size. Source: ``data_generator/indexed_binary_generator.py`` of dlio_benchmark. It writes a file
in chunks of ``generation_buffer_size`` and counts the offsets from the start of each chunk, so that
from the second chunk on they point at other samples. Such an index is read for what it means, by
the sizes; the one written here counts from the start of the file. Its MPI-IO path may write some
whole samples more than the index says: they are left alone.

Both formats are the same bytes; DLIO maps one into memory and reads the other, and here both are
read. They have no checksums.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.formats.direct import Layout, Misses, Piece, StreamScratch
from cm4storage.formats.elements import content_of
from cm4storage.formats.format import Companion, CorruptFile
from cm4storage.formats.parts import filled_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

OFFSETS_SUFFIX = ".off.idx"
SIZES_SUFFIX = ".sz.idx"

_ITEM_BYTES = 8
# Of more the pieces would take more memory than the direct read saves time.
_MOST_SAMPLES = 2**16


class IndexedBinary:
    """The indexed_binary format. See the module's text."""

    name = "indexed_binary"
    has_exact_size = True

    def __init__(self, dataset: DatasetSection) -> None:
        del dataset
        self._scratch = StreamScratch()
        self._misses = Misses()
        self._expected: _Expected | None = None

    def file_bytes(self, shape: FileShape) -> int:
        """Return the exact size of the data file that `encode` makes for `shape`."""
        return shape.record_bytes * shape.samples

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the samples through one small, reused buffer."""
        return filled_parts(self.file_bytes(shape), content_of(shape.element_type, content))

    def companions(self, key: str, shape: FileShape) -> Iterator[Companion]:
        """Yield both indexes of a data file."""
        offsets, sizes = _indexes(shape)
        yield Companion(key + OFFSETS_SUFFIX, offsets)
        yield Companion(key + SIZES_SUFFIX, sizes)

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples, lent without copying."""
        starts, sizes = _read_index(source)
        with source.read(0, None) as view:
            _check_end(source, starts, sizes, len(view))
            for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
                sample = view[start : start + size]
                try:
                    yield sample
                finally:
                    with contextlib.suppress(BufferError):  # somebody still looks at it
                        sample.release()

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Read a file whose indexes are those written here; see `DirectFormat`.

        One scattered read for the samples, and one for each index.
        """
        if shape.samples > _MOST_SAMPLES or self._misses.are_too_many:
            return False
        expected = self._expected
        if expected is None or expected.shape != shape:
            expected = self._expected = _Expected(shape)
        is_read = expected.has_indexes(source)
        is_read = is_read and expected.layout.read(source, rows, self._scratch)
        return self._misses.note(is_read=is_read)


class MmapIndexedBinary(IndexedBinary):
    """The mmap_indexed_binary format. See the module's text."""

    name = "mmap_indexed_binary"


class _Expected:
    """What files of one shape look like, with memory to read their indexes into."""

    def __init__(self, shape: FileShape) -> None:
        size_bytes = shape.record_bytes
        self.shape = shape
        self.layout = Layout([Piece(0, n, 0, size_bytes) for n in range(shape.samples)], 0)
        self._indexes = [
            (suffix, index, bytearray(len(index) + 1))
            for suffix, index in zip((OFFSETS_SUFFIX, SIZES_SUFFIX), _indexes(shape), strict=True)
        ]

    def has_indexes(self, source: Source) -> bool:
        """Tell whether both indexes of a file are as expected."""
        for suffix, index, buffer in self._indexes:
            count = source.sibling(suffix).scatter(0, [memoryview(buffer)])
            if count != len(index) or not buffer.startswith(index):
                return False
        return True


def _indexes(shape: FileShape) -> tuple[bytes, bytes]:
    import numpy as np

    sizes = np.full(shape.samples, shape.record_bytes, "<u8")
    return (np.arange(shape.samples, dtype="<u8") * sizes).tobytes(), sizes.tobytes()


def _read_index(source: Source) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return where the samples really start, and their sizes.

    A sample starts where the one before ends. The offsets must say the same, from the start of the
    file or of a chunk, which is where they are 0 again.
    """
    import numpy as np

    offsets, sizes = (_numbers(source, suffix) for suffix in (OFFSETS_SUFFIX, SIZES_SUFFIX))
    if len(offsets) != len(sizes):
        raise CorruptFile(
            source.name + SIZES_SUFFIX,
            f"the index has {len(sizes)} sizes for {len(offsets)} offsets",
            offset=_ITEM_BYTES * min(len(sizes), len(offsets)),
        )
    _refuse(source, SIZES_SUFFIX, (sizes == 0) | (sizes > _LARGEST), "a size cannot be")
    ends = np.cumsum(sizes, dtype=np.uint64)
    _refuse(source, SIZES_SUFFIX, ends > _LARGEST, "a size cannot be")
    starts = ends - sizes
    chunk_starts = np.maximum.accumulate(np.where(offsets == 0, starts, np.uint64(0)))
    _refuse(source, OFFSETS_SUFFIX, starts - chunk_starts != offsets, "an offset is wrong")
    return starts, sizes


# A sum of two stays within 64 bits, and no file is as long.
_LARGEST = 2**62


def _numbers(source: Source, suffix: str) -> npt.NDArray[np.uint64]:
    import numpy as np

    with source.sibling(suffix).read(0, None) as view:
        if len(view) % _ITEM_BYTES:
            raise CorruptFile(
                source.name + suffix, "the last number of the index is cut off", offset=len(view)
            )
        return np.frombuffer(bytes(view), "<u8")


def _refuse(source: Source, suffix: str, is_wrong: npt.NDArray[np.bool_], what: str) -> None:
    if is_wrong.any():
        record = int(is_wrong.argmax())
        raise CorruptFile(source.name + suffix, what, offset=_ITEM_BYTES * record, record=record)


def _check_end(
    source: Source,
    starts: npt.NDArray[np.uint64],
    sizes: npt.NDArray[np.uint64],
    file_bytes: int,
) -> None:
    """Refuse a file that ends before its last sample, or within a sample behind that."""
    end = int(starts[-1] + sizes[-1]) if len(starts) else 0
    if file_bytes < end:
        record = int((starts + sizes > file_bytes).argmax())
        raise CorruptFile(
            source.name, "the sample is cut off", offset=int(starts[record]), record=record
        )
    behind_bytes, last_bytes = file_bytes - end, int(sizes[-1]) if len(sizes) else 0
    if behind_bytes and (not last_bytes or behind_bytes % last_bytes):
        raise CorruptFile(source.name, "the file is longer than its index says", offset=end)
