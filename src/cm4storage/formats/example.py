"""``tf.train.Example`` messages with one image: laid out, and taken apart.

Source: ``tensorflow/core/example/{example,feature}.proto``, read as protocol buffers prescribe: an
unknown field is skipped, of a map's entries with one key the last counts, and of a oneof the last
member. What cannot be one image of bytes is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _LENGTH_DELIMITED, _GROUP, _END_OF_GROUP = 0, 2, 3, 4
_FIXED_BYTES = {1: 8, 5: 4}
_DEEPEST_GROUPS = 100
_LONGEST_VARINT_BYTES = 10
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


class ImageExample(NamedTuple):
    """The fixed bytes around ``image`` in the Example message of one sample size.

    It has two features, ``image`` (bytes) and ``size`` (int64, the number of bytes).
    """

    head: bytes
    image_bytes: int
    tail: bytes

    @classmethod
    def of_size(cls, image_bytes: int) -> ImageExample:
        """Return the bytes around an image of this size."""
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
        """The size of the whole message."""
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


def find_image(message: memoryview) -> tuple[int, int]:
    """Return where the bytes of the feature ``image`` start and end in an Example message.

    Raises
    ------
    ValueError
        If the message is damaged, or `image` is not exactly one value of bytes.
    """
    found: list[tuple[int, int]] = []
    for features in _bodies(message, (0, len(message)), 1):
        for entry in _bodies(message, features, 1):
            value = _value_of_image(message, entry)
            if value is not None:
                found = value  # a later entry with the same key replaces the one before
    if len(found) != 1:
        raise ValueError("several values of bytes" if found else "no value of bytes")
    return found[0]


def _value_of_image(message: memoryview, entry: tuple[int, int]) -> list[tuple[int, int]] | None:
    """Return the byte values of a map's entry; None if its key is not ``image``."""
    key, feature = b"", []
    for number, start, end in _fields(message, *entry):
        if number == 1:
            key = bytes(message[start : min(end, start + len(b"image") + 1)])
        elif number == 2:
            feature.append((start, end))
    if key != b"image":
        return None
    if len(feature) > 1:
        raise ValueError("an entry of the Example's features has several values")
    return _byte_values(message, feature[0]) if feature else []


def _byte_values(message: memoryview, feature: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the values of a feature's list of bytes; of many just two, since one is wanted."""
    values: list[tuple[int, int]] = []
    for number, start, end in _fields(message, *feature):
        if number == _BYTES_LIST:
            for value in _bodies(message, (start, end), 1):
                values = [*values[:1], value]
        elif number in (_FLOAT_LIST, _INT64_LIST):
            values = []  # of a oneof, what comes last is all that is set
    return values


def _bodies(message: memoryview, within: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the fields numbered `wanted`."""
    for number, start, end in _fields(message, *within):
        if number == wanted:
            yield start, end


def _fields(message: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the length-delimited fields; others are skipped."""
    while at < end:
        number, kind, at = _read_tag(message, at, end)
        if kind == _LENGTH_DELIMITED:
            start, at = _sized_body(message, at, end)
            yield number, start, at
        elif kind == _GROUP:
            at = _end_of_group(message, number, at, end)
        else:
            at = _end_of_number(message, kind, at, end)


def _read_tag(message: memoryview, at: int, end: int) -> tuple[int, int, int]:
    """Return a field's number and wire type, and where what follows them starts."""
    tag, at = _read_varint(message, at, end)
    if tag >> 3 == 0:
        raise ValueError("a field has the number 0")
    return tag >> 3, tag & 7, at


def _sized_body(message: memoryview, at: int, end: int) -> tuple[int, int]:
    length, start = _read_varint(message, at, end)
    return start, _require_room(start, length, end)


def _end_of_number(message: memoryview, kind: int, at: int, end: int) -> int:
    if kind == _VARINT:
        return _read_varint(message, at, end)[1]
    if kind not in _FIXED_BYTES:
        raise ValueError(f"a field has the wire type {kind}")
    return _require_room(at, _FIXED_BYTES[kind], end)


def _end_of_group(message: memoryview, number: int, at: int, end: int) -> int:
    """Return where a group ends: no field that matters here is one, but an unknown one may be."""
    inside = [number]
    while inside:
        number, kind, at = _read_tag(message, at, end)
        if kind == _LENGTH_DELIMITED:
            _, at = _sized_body(message, at, end)
        elif kind == _GROUP:
            inside.append(number)
            if len(inside) > _DEEPEST_GROUPS:
                raise ValueError("the groups of a field are too deep")
        elif kind != _END_OF_GROUP:
            at = _end_of_number(message, kind, at, end)
        elif inside.pop() != number:
            raise ValueError("a group ends that has not begun")
    return at


def _require_room(at: int, length: int, end: int) -> int:
    if at + length > end:
        raise ValueError("a field is longer than its message")
    return at + length


def _read_varint(message: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for place in range(at, min(end, at + _LONGEST_VARINT_BYTES)):
        byte = message[place]
        value |= (byte & 0x7F) << (7 * (place - at))
        if byte < 0x80:
            return value, place + 1
    raise ValueError("a number does not end")
