"""HDF5 files as DLIO writes them: the samples in one or more datasets, and their labels.

Source: ``data_generator/hdf5_generator.py`` of dlio_benchmark. A dataset has the shape
``(samples, *record_dims)``; with ``num_dset_per_record`` k there are k, each with a k-th of every
sample along its first dimension. ``hdf5.chunk_dims`` are the chunks' sides, that of the samples
included; ``hdf5.max_shape`` is how far a dataset may grow, without that of the samples.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from cm4storage.formats.damage import Damage, corrupt_file
from cm4storage.formats.direct import Layout, Misses, Piece, StreamScratch
from cm4storage.formats.elements import content_of
from cm4storage.formats.hdf5_frame import (
    Datasets,
    Frame,
    chunked_bytes,
    frame_of,
    open_new,
    parts_of,
)
from cm4storage.formats.hdf5_reading import (
    Records,
    ViewFile,
    find_records,
    placed_samples,
    read_samples,
    require_inside,
)
from cm4storage.formats.parts import PART_BYTES, filled_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

_LARGEST_KEPT_BYTES = 2**20
_MOST_FRAMES = 64
# Of more the pieces would take more memory than the direct read saves time.
_MOST_SAMPLES = 2**16


class Hdf5:
    """The HDF5 format. See the module's text."""

    name = "hdf5"

    def __init__(self, dataset: DatasetSection) -> None:
        self._datasets = Datasets.of(dataset)
        self.has_exact_size = self._datasets.is_contiguous
        self._element_type = dataset.element_type
        sides = dataset.record_dims or (0, 0)
        self._ranks = {1 + len(sides), 1 + len(self._datasets.sides(sides))}
        self._frames: dict[FileShape, Frame] = {}
        self._known: _Known | None = None
        self._is_other = False  # a file was not as it is known, and is decoded next
        self._scratch = StreamScratch()
        self._misses = Misses()

    def file_bytes(self, shape: FileShape) -> int:
        """Return the size of a file that `encode` makes for `shape`; with chunks, at most."""
        if self._datasets.is_contiguous:
            return self._frame(shape).file_bytes
        return chunked_bytes(shape, self._datasets)

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the file's parts; samples in one piece pass through one small, reused buffer.

        With chunks h5py writes a temporary file first, since it goes back in it.
        """
        content = content_of(shape.element_type, content)
        if not self._datasets.is_contiguous:
            yield from self._encode_chunks(shape, content)
            return
        frame = self._frame(shape)
        size_bytes = frame.part_bytes * frame.samples
        for outside in frame.outside[:-1]:
            yield memoryview(outside)
            yield from filled_parts(size_bytes, content)
        yield memoryview(frame.outside[-1])

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples; those in one piece are lent without copying."""
        with source.read(0, None) as view:
            try:
                file = _open(view)
            except Exception as error:
                what = f"no HDF5 file: {error}"
                raise corrupt_file(source.name, Damage(what)) from error
            with file:
                records = self._records(file, view, source.name)
                if records.extents:
                    if self._is_other:
                        self._known, self._is_other = _learned(records, view), False
                    yield from placed_samples(records, view)
                else:
                    yield from _read_samples(records, source.name)

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Read a file of samples in one piece by one scattered read; see `DirectFormat`.

        What stands around the samples must be what is written here, or what the file before had.
        """
        known = self._expected(shape)
        if known is None:
            return False
        is_read = known.layout.read(source, rows, self._scratch)
        is_read = is_read and known.layout.outside == known.outside
        self._is_other = not is_read
        return self._misses.note(is_read=is_read)

    def _expected(self, shape: FileShape) -> _Known | None:
        if self._misses.are_too_many:
            return None
        known = self._known
        if known is not None and known.fits(shape):
            return known
        if not self._datasets.is_contiguous or shape.samples > _MOST_SAMPLES:
            return None
        if known is not None and known.is_foreign:
            self._is_other = True
            return None
        self._known = _own(self._frame(shape))
        return self._known

    def _frame(self, shape: FileShape) -> Frame:
        frame = self._frames.get(shape)
        if frame is None:
            frame = frame_of(shape, self._datasets)
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            self._frames[shape] = frame
        return frame

    def _encode_chunks(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        import numpy as np

        with tempfile.TemporaryFile(buffering=0) as stream:
            with open_new(stream) as file:
                for dataset in self._datasets.create(file, shape):
                    step = dataset.chunks[0]
                    block = np.empty((step, *dataset.shape[1:]), dataset.dtype)
                    for start in range(0, shape.samples, step):
                        part = block[: shape.samples - start]
                        content.fill(part.reshape(-1).view(np.uint8).data)
                        dataset[start : start + step] = part
            yield from parts_of(stream, PART_BYTES)

    def _records(self, file: Any, view: memoryview, name: str) -> Records:
        try:
            records = find_records(file, self._datasets, self._ranks, self._element_type)
            require_inside(records, len(view))
        except Exception as error:
            raise corrupt_file(name, error) from error
        return records


def _open(view: memoryview) -> Any:
    import h5py

    return h5py.File(ViewFile(view), "r")


def _read_samples(records: Records, name: str) -> Iterator[memoryview]:
    samples, number = read_samples(records), 0
    while True:
        try:
            sample = next(samples)
        except StopIteration:
            return
        except Exception as error:
            raise corrupt_file(name, Damage(str(error), record=number)) from error
        yield sample
        number += 1


class _Known(NamedTuple):
    """What is expected of the next file.

    Attributes
    ----------
    record_bytes, samples : int
    layout : Layout
    outside : bytes
        All bytes around the samples.
    is_foreign : bool
        Whether it is that of a file before and not what is written here.
    """

    record_bytes: int
    samples: int
    layout: Layout
    outside: bytes
    is_foreign: bool

    def fits(self, shape: FileShape) -> bool:
        """Tell whether a file of this shape can be alike."""
        return self.samples == shape.samples and self.record_bytes == shape.record_bytes


def _own(frame: Frame) -> _Known:
    pieces: list[Piece] = []
    for number, outside in enumerate(frame.outside[:-1]):
        pieces += _pieces(len(outside), number, frame.part_bytes, frame.samples)
    layout = Layout(pieces, len(frame.outside[-1]))
    record_bytes = frame.part_bytes * (len(frame.outside) - 1)
    return _Known(record_bytes, frame.samples, layout, b"".join(frame.outside), is_foreign=False)


def _pieces(gap_bytes: int, dataset: int, part_bytes: int, samples: int) -> Iterator[Piece]:
    start, end = dataset * part_bytes, (dataset + 1) * part_bytes
    for sample in range(samples):
        yield Piece(0 if sample else gap_bytes, sample, start, end)


def _learned(records: Records, view: memoryview) -> _Known | None:
    """Return what the next file is expected to be; the labels may be others."""
    extents = [(extent.offset, number, extent.end) for number, extent in enumerate(records.extents)]
    if records.labels is not None and records.labels.size_bytes:
        extents.append((records.labels.offset, len(extents), records.labels.end))
    pieces: list[Piece] = []
    outside, at = b"", 0
    for offset, number, end in sorted(extents):
        if not at <= offset <= at + _LARGEST_KEPT_BYTES or end > len(view):
            return None
        outside += bytes(view[at:offset])
        if number < len(records.extents):
            pieces += _pieces(offset - at, number, records.part_bytes, records.samples)
        else:
            pieces.append(Piece(offset - at, None, 0, end - offset))
        at = end
    if len(view) - at > _LARGEST_KEPT_BYTES or not 0 < records.samples <= _MOST_SAMPLES:
        return None
    outside += bytes(view[at:])
    layout = Layout(pieces, len(view) - at)
    record_bytes = records.part_bytes * len(records.extents)
    return _Known(record_bytes, records.samples, layout, outside, is_foreign=True)
