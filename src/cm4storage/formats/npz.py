"""NPZ files as DLIO writes them: ``x`` with the samples and ``y`` with their labels.

Source: ``data_generator/npz_generator.py`` of dlio_benchmark: ``numpy.savez(x=records, y=labels)``
with records as `cm4storage.formats.arrays` says, and one int64 zero per sample. With
``compression: zip`` it means ``numpy.savez_compressed``, which a comparison of a text with an
Enum keeps it from calling; here the members are compressed then.

Other writers' arrays are read too, if ``x`` has the rank and the element type of the data set, in
any byte order. Texts, times, records and objects are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from cm4storage.formats.archive import (
    ArchiveWriter,
    archive_bytes,
    compressed_bytes,
    read_directory,
    read_member,
)
from cm4storage.formats.arrays import (
    ArrayRules,
    record_elements,
    record_parts,
    records_bytes,
    records_header,
)
from cm4storage.formats.damage import Damage, corrupt_file
from cm4storage.formats.direct import KeptScratch, Misses, StreamScratch
from cm4storage.formats.format import SteppedSource
from cm4storage.formats.npz_frame import (
    Envelope,
    Frame,
    envelope_of,
    frame_of,
    labels_of,
    writer_of,
)
from cm4storage.formats.steps import STEP_BYTES, parts_of, read_checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.formats.direct import Scratch
    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection


class Npz:
    """The NPZ format. See the module's text."""

    name = "npz"

    def __init__(self, dataset: DatasetSection) -> None:
        self._is_compressed = dataset.compression == "zip"
        self.has_exact_size = not self._is_compressed
        self._rules = ArrayRules.of(dataset)
        self._writer = "cm4storage"
        self._frame: Frame | None = None
        self._envelope: Envelope | None = None
        self._scratch = KeptScratch()
        self._stream = StreamScratch(STEP_BYTES)
        self._misses = Misses()

    def file_bytes(self, shape: FileShape) -> int:
        """Return the size of a file that `encode` makes for `shape`; compressed, at most."""
        size_bytes = len(records_header(shape)) + records_bytes(shape)
        labels_bytes = len(labels_of(shape.samples))
        if self._is_compressed:
            size_bytes, labels_bytes = map(compressed_bytes, (size_bytes, labels_bytes))
        return archive_bytes([("x.npy", size_bytes), ("y.npy", labels_bytes)])

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the archive's parts; the samples pass through one small, reused buffer."""
        envelope = self._envelope_of(shape)
        if envelope is None:
            yield from self._encode_members(shape, content)
            return
        yield memoryview(envelope.head)
        crc = envelope.header_crc
        for part in record_elements(shape, content):
            crc = crc32(part, crc)
            yield part
        yield memoryview(envelope.tail(crc))

    def _envelope_of(self, shape: FileShape) -> Envelope | None:
        """Return what stands around the samples, where it can be known beforehand."""
        if self._is_compressed:
            return None
        if self._envelope is None or self._envelope.shape != shape:
            self._envelope = envelope_of(shape)
        return self._envelope

    def _encode_members(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        archive = ArchiveWriter()
        member = archive.compressed_member if self._is_compressed else archive.member
        size_bytes = len(records_header(shape)) + records_bytes(shape)
        yield from member("x.npy", size_bytes, record_parts(shape, content))
        labels = labels_of(shape.samples)
        yield from member("y.npy", len(labels), [memoryview(labels)])
        yield archive.directory()

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples of array ``x``; one sample a file is lent without copying."""
        with source.read(0, None) as view:
            self._writer = writer_of(view)
            try:
                samples = self._samples(view)
            except ValueError as error:
                raise corrupt_file(source.name, error) from error
            yield from samples

    def _samples(self, view: memoryview) -> Iterator[memoryview]:
        members = read_directory(view)
        if "x.npy" not in members:
            raise Damage("the archive has no array x")
        try:
            return self._rules.samples(read_member(view, members["x.npy"]))
        except Damage:
            raise
        except ValueError as error:
            raise Damage(str(error), members["x.npy"].offset) from error

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Read a file with one sample straight to its row; see `DirectFormat`.

        The archive's own bytes must be those that we or numpy would write around such an array,
        with the checksum that the bytes read have.
        """
        if shape.samples != 1 or self._is_compressed or self._misses.are_too_many:
            return False
        frame = self._frame
        if frame is None or not frame.is_of(shape, self._writer):
            frame = self._frame = frame_of(shape, self._writer)
        if frame is None:
            return False
        if frame.sample_bytes > STEP_BYTES:
            crc = self._read_in_steps(source, frame, rows[0])
            return self._misses.note(is_read=crc is not None and frame.is_intact(crc))
        is_read = frame.layout.read(source, rows, self._scratch)
        return self._misses.note(is_read=is_read and frame.is_intact(self._crc(frame, rows[0])))

    def _read_in_steps(self, source: Source, frame: Frame, row: memoryview | None) -> int | None:
        """Read a large file; return the checksum of array ``x``, None if its size is wrong."""
        scratch: Scratch = self._stream if isinstance(source, SteppedSource) else self._scratch
        wanted = [] if row is None else [row]
        left_bytes = frame.sample_bytes - sum(map(len, wanted))
        parts = parts_of([*wanted, *(scratch.take(left_bytes) if left_bytes else ())])
        return read_checked(source, frame.layout, parts, frame.header_crc)

    def _crc(self, frame: Frame, row: memoryview | None) -> int:
        """Return the checksum of array ``x`` as it was read."""
        crc: int = frame.header_crc if row is None else crc32(row, frame.header_crc)
        if row is None or len(row) < frame.sample_bytes:
            crc = crc32(self._scratch.last, crc)
        return crc
