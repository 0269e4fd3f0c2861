"""TFRecord files of ``tf.train.Example`` messages, as DLIO writes them.

A record is: length (uint64), masked CRC-32C of the length, data, masked CRC-32C of the data, all
little-endian; the mask is ((crc >> 15 | crc << 17) + 0xa282ead8) modulo 2**32. Source:
``tensorflow/core/lib/io/record_writer.h``. The Example has two features, ``image`` (bytes) and
``size`` (int64, the number of bytes): ``data_generator/tf_generator.py`` of dlio_benchmark. Other
Examples are read if they have an ``image`` that is one value of bytes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.core.units import MIB
from cm4storage.formats.crc32c import crc32c
from cm4storage.formats.direct import Misses
from cm4storage.formats.elements import content_of
from cm4storage.formats.example import ImageExample, find_image
from cm4storage.formats.format import Companion, CorruptFile
from cm4storage.formats.record_layout import (
    FOOTER,
    FRAME_BYTES,
    HEADER,
    DamagedRecord,
    DirectReader,
    RecordLayout,
    frame_header,
    masked,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

CHUNK_BYTES = 16 * MIB

_LARGEST_RECORD_BYTES = 2**31
# Of a range that ends within a record, the part that may be read again instead of being copied.
_PART_READ_AGAIN = 1 / 64
_LARGEST_KEPT_BYTES = 4096


class TfRecord:
    """The TFRecord format. See the module's text."""

    name = "tfrecord"
    has_exact_size = True

    def __init__(self, dataset: DatasetSection) -> None:
        del dataset
        self._expected: RecordLayout | None = None
        self._direct: DirectReader | None = None
        self._misses = Misses()

    def file_bytes(self, shape: FileShape) -> int:
        """Return the exact size of a file that `encode` makes for `shape`."""
        example = ImageExample.of_size(shape.record_bytes)
        return shape.samples * (example.total_bytes + FRAME_BYTES)

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield one record after the other, each in the same reused buffer."""
        example = ImageExample.of_size(shape.record_bytes)
        content = content_of(shape.element_type, content)
        buffer = memoryview(bytearray(HEADER.size + example.total_bytes + FOOTER.size))
        buffer[: HEADER.size] = frame_header(example.total_bytes)
        data = buffer[HEADER.size : -FOOTER.size]
        image = example.lay_out(data)
        for _ in range(shape.samples):
            content.fill(image)
            FOOTER.pack_into(buffer, len(buffer) - FOOTER.size, masked(crc32c(data)))
            yield buffer

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the ``image`` of every record; both checksums of each are verified.

        Hardly a byte is read twice, and no more memory is taken than for about `CHUNK_BYTES` and
        one record.
        """
        decoder = _Decoder(source, self._expected)
        try:
            yield from decoder.images()
        finally:
            self._expected = decoder.layout  # the next file is likely to be alike

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Read the images straight to their rows; see `DirectFormat.decode_into`.

        The records must be all alike: as in the file before, or as `encode` lays them out.
        """
        reader = self._direct_reader(shape.record_bytes)
        if reader is None or len(rows) != shape.samples:
            return False
        try:
            is_as_known = reader.read(source, rows)
        except DamagedRecord as damage:
            offset = damage.record * reader.layout.record_bytes + HEADER.size
            what, record = str(damage), damage.record
            raise CorruptFile(source.name, what, offset=offset, record=record) from None
        return self._misses.note(is_read=is_as_known)

    def _direct_reader(self, image_bytes: int) -> DirectReader | None:
        """Return a reader for images of this size, if it is known what is around them."""
        if self._misses.are_too_many:
            return None
        layout = self._expected
        if layout is None or layout.image_bytes != image_bytes:
            layout = RecordLayout.of_size(image_bytes)
        if self._direct is None or self._direct.layout != layout:
            self._direct = DirectReader(layout)
        return self._direct

    def companions(self, key: str, shape: FileShape) -> Iterator[Companion]:
        """Yield the index that DALI reads: a line with offset and length of each record.

        Source: ``tf_generator.py`` of dlio_benchmark, which calls ``tfrecord2idx`` to write
        ``index/{train|valid}/<file>.idx``, without sub-folders.
        """
        size = ImageExample.of_size(shape.record_bytes).total_bytes + FRAME_BYTES
        lines = (f"{number * size} {size}\n" for number in range(shape.samples))
        parts = key.split("/")
        yield Companion(f"index/{parts[0]}/{parts[-1]}.idx", "".join(lines).encode())


class _Decoder:
    """Reads one file.

    Attributes
    ----------
    layout : RecordLayout or None
        That of the record before; at first what the caller expects.
    """

    def __init__(self, source: Source, expected: RecordLayout | None) -> None:
        self._source = source
        self._position = 0  # of the next record
        self._record = 0
        self._next_bytes = expected.record_bytes if expected else 0
        self.layout = expected

    def images(self) -> Iterator[memoryview]:
        is_at_end = False
        while not is_at_end:
            wanted_bytes = self._range_bytes()
            with self._source.read(self._position, wanted_bytes) as view:
                is_at_end = len(view) < wanted_bytes
                used = yield from self._images_in(view)
                part = self._kept_part(view[used:], wanted_bytes, is_at_end=is_at_end)
            if part:
                yield from self._images_in(self._completed(part))

    def _range_bytes(self) -> int:
        """Return a size that ends with a record, if the next ones are as long as the last.

        The header behind it is read too: if it is not there, the file has ended.
        """
        if not self._next_bytes:
            return CHUNK_BYTES
        return -(-CHUNK_BYTES // self._next_bytes) * self._next_bytes + HEADER.size

    def _images_in(self, view: memoryview) -> Generator[memoryview, None, int]:
        """Yield the images of the whole records in `view`; return where the first other starts."""
        used, image = 0, view[:0]
        try:
            while (found := self._sound_records(view, used)) is not None:
                layout, count = found
                for _ in range(count):
                    image = view[used + layout.image_start : used + layout.image_end]
                    yield image
                    used, self._record = used + layout.record_bytes, self._record + 1
                    self._position += layout.record_bytes
        finally:
            with contextlib.suppress(BufferError):  # somebody still looks at it
                image.release()
        return used

    def _sound_records(self, view: memoryview, at: int) -> tuple[RecordLayout, int] | None:
        """Return layout and number of the next records, checked; None where there is no whole one.

        Small ones that are alike are checked many at a time, others one by one.
        """
        if self.layout is not None and (count := self.layout.sound_records(view, at)):
            return self.layout, count
        layout = self._layout_at(view, at)
        return None if layout is None else (layout, 1)

    def _layout_at(self, view: memoryview, at: int) -> RecordLayout | None:
        """Return the layout of the record at `at`, checked; None where `view` holds only a part."""
        layout = self.layout
        if layout is not None and layout.fits(view, at):
            self._check_data(view[at : at + layout.record_bytes])
            return layout
        size_bytes = self._record_bytes(view[at : at + HEADER.size])
        if size_bytes is None or at + size_bytes > len(view):
            return None
        record = view[at : at + size_bytes]
        self._check_data(record)  # before its contents are taken for what they say
        layout = self._learned(record)
        self.layout = layout if layout.is_kept else None
        return layout

    def _record_bytes(self, header: memoryview) -> int | None:
        """Return the size of the record with this header, if that is there."""
        if len(header) < HEADER.size:
            return None
        length, crc = HEADER.unpack(header)
        if crc != masked(crc32c(header[:8])) or length > _LARGEST_RECORD_BYTES:
            raise self._corrupt("the checksum of a record's length is wrong", 0)
        self._next_bytes = int(length) + FRAME_BYTES
        return self._next_bytes

    def _check_data(self, record: memoryview) -> None:
        (stored,) = FOOTER.unpack(record[-FOOTER.size :])
        if stored != masked(crc32c(record[HEADER.size : -FOOTER.size])):
            raise self._corrupt("the checksum of a record's data is wrong", HEADER.size)

    def _learned(self, record: memoryview) -> RecordLayout:
        try:
            start, end = find_image(record[HEADER.size : -FOOTER.size])
        except ValueError as error:
            raise self._corrupt(f"the record is no Example with one image: {error}", 0) from error
        start, end = start + HEADER.size, end + HEADER.size
        head, tail = record[:start], record[end : -FOOTER.size]
        if len(head) + len(tail) > _LARGEST_KEPT_BYTES:
            return RecordLayout(len(record), start, end, b"", b"", is_kept=False)
        return RecordLayout(len(record), start, end, bytes(head), bytes(tail))

    def _kept_part(
        self, rest: memoryview, wanted_bytes: int, *, is_at_end: bool
    ) -> bytearray | None:
        """Return a copy of a large part of a record; a small one is cheaper to read again."""
        if is_at_end and rest:
            raise self._corrupt("the last record is cut off", 0)
        is_large = len(rest) > max(HEADER.size, wanted_bytes * _PART_READ_AGAIN)
        return bytearray(rest) if is_large else None

    def _completed(self, part: bytearray) -> memoryview:
        """Read what is missing from the record that `part` begins, and no more."""
        while missing_bytes := self._next_bytes - len(part):
            wanted_bytes = min(CHUNK_BYTES, missing_bytes)
            with self._source.read(self._position + len(part), wanted_bytes) as view:
                part += view
                if len(view) < wanted_bytes:
                    raise self._corrupt("the last record is cut off", 0)
        return memoryview(part)

    def _corrupt(self, what: str, offset: int) -> CorruptFile:
        place = self._position + offset
        return CorruptFile(self._source.name, what, offset=place, record=self._record)
