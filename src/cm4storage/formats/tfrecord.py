"""TFRecord files of ``tf.train.Example`` messages, as DLIO writes them.

A record is: length (uint64), masked CRC-32C of the length, data, masked CRC-32C of the data, all
little-endian; the mask is ((crc >> 15 | crc << 17) + 0xa282ead8) modulo 2**32. Source:
``tensorflow/core/lib/io/record_writer.h``. The Example has two features, ``image`` (bytes) and
``size`` (int64, the number of bytes): ``data_generator/tf_generator.py`` of dlio_benchmark.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from awscrt.checksums import crc32c

from cm4storage.core.units import MIB
from cm4storage.formats.format import CorruptFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.formats.format import Content, FileShape, Source

CHUNK_BYTES = 16 * MIB

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAME_BYTES = _HEADER.size + _FOOTER.size
_LARGEST_RECORD_BYTES = 2**31


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class TfRecord:
    """The TFRecord format. See the module's text."""

    name = "tfrecord"

    def file_bytes(self, shape: FileShape) -> int:
        """Return the exact size of a file that `encode` makes for `shape`."""
        example = _Example.of_size(shape.record_bytes)
        return shape.samples * (example.total_bytes + _FRAME_BYTES)

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield one record after the other, each in the same reused buffer."""
        example = _Example.of_size(shape.record_bytes)
        buffer = memoryview(bytearray(_HEADER.size + example.total_bytes + _FOOTER.size))
        length = struct.pack("<Q", example.total_bytes)
        _HEADER.pack_into(buffer, 0, example.total_bytes, _masked(crc32c(length)))
        data = buffer[_HEADER.size : -_FOOTER.size]
        image = example.lay_out(data)
        for _ in range(shape.samples):
            content.fill(image)
            _FOOTER.pack_into(buffer, len(buffer) - _FOOTER.size, _masked(crc32c(data)))
            yield buffer

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the ``image`` of every record; both checksums of each are verified."""
        start, record, wanted = 0, 0, CHUNK_BYTES
        while True:
            with source.read(start, wanted) as view:
                used = 0
                while (end := _record_end(view, used, start, record, source.name)) is not None:
                    data = view[used + _HEADER.size : end - _FOOTER.size]
                    _check_data(view, data, end, _Place(source.name, start + used, record))
                    yield _image(data, _Place(source.name, start + used, record))
                    record, used = record + 1, end
                rest, at_end = view[used:], len(view) < wanted
                if at_end and len(rest):
                    raise CorruptFile(
                        source.name,
                        "the last record is cut off",
                        offset=start + used,
                        record=record,
                    )
                needed = _size_of_first(rest)
            if at_end:
                return
            start, wanted = start + used, max(CHUNK_BYTES, needed)


class _Place(NamedTuple):
    name: str
    offset: int
    record: int


def _size_of_first(rest: memoryview) -> int:
    if len(rest) < _HEADER.size:
        return 0
    return int(_HEADER.unpack_from(rest)[0]) + _FRAME_BYTES


def _record_end(view: memoryview, used: int, start: int, record: int, name: str) -> int | None:
    """Return where the record at `used` ends, or None where `view` does not hold all of it."""
    if len(view) - used < _HEADER.size:
        return None
    length, crc = _HEADER.unpack_from(view, used)
    if crc != _masked(crc32c(view[used : used + 8])) or length > _LARGEST_RECORD_BYTES:
        raise CorruptFile(
            name, "the checksum of a record's length is wrong", offset=start + used, record=record
        )
    end = used + int(length) + _FRAME_BYTES
    return end if end <= len(view) else None


def _check_data(view: memoryview, data: memoryview, end: int, place: _Place) -> None:
    (stored,) = _FOOTER.unpack_from(view, end - _FOOTER.size)
    if stored != _masked(crc32c(data)):
        raise CorruptFile(
            place.name,
            "the checksum of a record's data is wrong",
            offset=place.offset + _HEADER.size,
            record=place.record,
        )


class _Example(NamedTuple):
    """The fixed bytes around ``image`` in the Example message of one sample size."""

    head: bytes
    image_bytes: int
    tail: bytes

    @classmethod
    def of_size(cls, image_bytes: int) -> _Example:
        values = b"\x0a" + _varint(image_bytes)
        image_list = b"\x0a" + _varint(len(values) + image_bytes) + values
        entry = b"\x0a\x05image\x12" + _varint(len(image_list) + image_bytes) + image_list
        head = b"\x0a" + _varint(len(entry) + image_bytes) + entry
        packed = _varint(image_bytes)
        tail = _message(
            b"\x0a\x04size" + b"\x12" + _sized(b"\x1a" + _sized(b"\x0a" + _sized(packed)))
        )
        total = len(head) + image_bytes + len(tail)
        return cls(b"\x0a" + _varint(total) + head, image_bytes, tail)

    @property
    def total_bytes(self) -> int:
        return len(self.head) + self.image_bytes + len(self.tail)

    def lay_out(self, data: memoryview) -> memoryview:
        """Write head and tail into `data` and return the part between them."""
        end = len(self.head) + self.image_bytes
        data[: len(self.head)] = self.head
        data[end:] = self.tail
        return data[len(self.head) : end]


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _sized(body: bytes) -> bytes:
    return _varint(len(body)) + body


def _message(body: bytes) -> bytes:
    return b"\x0a" + _sized(body)


def _image(data: memoryview, place: _Place) -> memoryview:
    """Return the bytes of the feature ``image`` of an Example, wherever in it they stand."""
    try:
        for number, features in _fields(data):
            if number != 1:
                continue
            for _, entry in _fields(features):
                fields = dict(_fields(entry))
                if bytes(fields.get(1, b"")) == b"image":
                    return _first_bytes(fields[2])
    except (IndexError, KeyError, ValueError):
        pass
    raise CorruptFile(
        place.name,
        "the record is no Example with an image",
        offset=place.offset,
        record=place.record,
    )


def _first_bytes(feature: memoryview) -> memoryview:
    (_, bytes_list), *_ = _fields(feature)
    (_, value), *_ = _fields(bytes_list)
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and body of the length-delimited fields of a protocol-buffers message."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        if tag & 7 != 2:
            raise ValueError("not length-delimited")
        length, at = _read_varint(message, at)
        if at + length > len(message):
            raise ValueError("longer than its message")
        yield tag >> 3, message[at : at + length]
        at += length


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
