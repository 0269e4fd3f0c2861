"""TFRecord files that others wrote, or that somebody made to do harm: read right, or refused."""

from __future__ import annotations

import struct

import pytest
from crc32c import crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from named_formats import format_named
from tfrecord import example_pb2
from tfrecord.writer import TFRecordWriter

from cm4storage.formats import record_layout, tfrecord
from cm4storage.formats.format import CorruptFile

FUNCTION_FIXTURES = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def framed(message):
    """Return a record, its checksums made by the other project's writer."""
    length = struct.pack("<Q", len(message))
    return length + TFRecordWriter.masked_crc(length) + message + TFRecordWriter.masked_crc(message)


def varint(value):
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def group(number, body):
    return varint(number << 3 | 3) + body + varint(number << 3 | 4)


def entry(key, value):
    return field(1, field(1, key) + field(2, value))


def bytes_list(*values):
    return field(1, b"".join(field(1, value) for value in values))


def example(*entries):
    return field(1, b"".join(entries))


IMAGE = entry(b"image", bytes_list(b"pixels"))


def images_of(data, memory_source):
    return [bytes(image) for image in format_named("tfrecord").decode(memory_source(data))]


@pytest.mark.parametrize(
    "message",
    [
        example(IMAGE),
        example(entry(b"image", bytes_list(b"first")), IMAGE),
        example(entry(b"other", bytes_list(b"x", b"y")), IMAGE, entry(b"size", b"")),
        example(entry(b"image", bytes_list(b"first"))) + example(IMAGE),
        example(entry(b"image", bytes_list(b"no") + field(3, b"") + bytes_list(b"pixels"))),
        example(entry(b"image", field(1, field(7, b"unknown") + field(1, b"pixels")))),
        example(entry(b"image", field(9, b"unknown") + bytes_list(b"pixels"))),
        field(5, b"unknown") + example(IMAGE) + varint(3 << 3) + varint(2**63),
        varint(9 << 3 | 1) + bytes(8) + varint(8 << 3 | 5) + bytes(4) + example(IMAGE),
        example(field(1, field(2, bytes_list(b"pixels")) + field(1, b"image"))),
        example(entry(b"image2", bytes_list(b"no")), IMAGE),
        example(IMAGE) + group(5, field(1, b"unknown") + varint(3 << 3) + varint(7)),
        example(IMAGE, group(1, entry(b"image", bytes_list(b"no")))),
        example(entry(b"image", bytes_list(b"pixels") + group(2, group(1, b"") + bytes(0)))),
        example(entry(b"image", group(1, varint(1 << 3 | 5) + bytes(4)) + bytes_list(b"pixels"))),
    ],
)
def test_what_protocol_buffers_allow_is_read_as_they_read_it(message, memory_source):
    theirs = example_pb2.Example()
    theirs.ParseFromString(message)
    assert theirs.features.feature["image"].bytes_list.value == [b"pixels"]
    assert images_of(framed(message), memory_source) == [b"pixels"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        example(),
        example(entry(b"other", bytes_list(b"x"))),
        example(entry(b"image", b"")),
        example(field(1, field(1, b"image"))),
        example(entry(b"image", bytes_list())),
        example(entry(b"image", bytes_list(b"a", b"b"))),
        example(entry(b"image", bytes_list(b"a") + bytes_list(b"b"))),
        example(entry(b"image", field(2, field(1, bytes(8))))),
        example(entry(b"image", field(3, field(1, b"\1")))),
        example(entry(b"image", bytes_list(b"a") + field(2, field(1, bytes(4))))),
        example(entry(b"image", field(1, field(2, b"not a value")))),
        example(IMAGE, entry(b"image", field(3, field(1, b"\1")))),
        example(field(1, field(1, b"image") + field(2, bytes_list(b"a")) * 2)),
        field(2, field(1, IMAGE)),
        example(IMAGE)[:-1],
        example(IMAGE) + b"\x0a",
        example(IMAGE) + b"\x0a\x7f",
        example(IMAGE) + varint(4 << 3 | 5) + bytes(3),
        example(IMAGE) + b"\xff" * 40,
        example(IMAGE) + b"\x0b",
        example(IMAGE) + b"\x0b\x14",
        example(IMAGE) + b"\x0c",
        example(IMAGE) + b"\x0b" * 101 + b"\x0c" * 101,
        example(IMAGE, group(5, field(1, b"cut off"))[:-1]),
        example(IMAGE) + b"\x02\x00",
        b"\xff" * 100,
    ],
)
def test_what_is_not_one_image_of_bytes_is_refused(message, memory_source):
    with pytest.raises(CorruptFile, match=r"no Example with one image.*\n.*record 0"):
        images_of(framed(message), memory_source)


LISTS = st.one_of(
    st.lists(st.binary(max_size=40), max_size=3).map(lambda v: ("bytes_list", v)),
    st.lists(st.integers(-5, 5), max_size=3).map(lambda v: ("int64_list", v)),
    st.lists(st.floats(width=32, allow_nan=False), max_size=3).map(lambda v: ("float_list", v)),
)


@given(
    features=st.dictionaries(st.sampled_from(["image", "imag", "size", "", "é"]), LISTS),
    cut=st.integers(0, 300),
    flip=st.integers(0, 2**16),
)
@FUNCTION_FIXTURES
def test_we_agree_with_an_independent_parser(memory_source, features, cut, flip):
    """Also on damaged messages, but for damage in parts that do not matter here."""
    message = example_pb2.Example()
    for key, (kind, values) in features.items():
        getattr(message.features.feature[key], kind).value.extend(values)
    data = bytearray(message.SerializeToString())
    for damaged in (bytes(data), bytes(data[:cut]), flipped(data, flip)):
        try:
            got = images_of(framed(damaged), memory_source)
        except CorruptFile:
            got = None
        expected = images_by_protobuf(damaged)
        assert expected is None or got == (expected if len(expected) == 1 else None)


def flipped(data, flip):
    copy = bytearray(data)
    if copy:
        copy[(flip >> 3) % len(copy)] ^= 1 << (flip & 7)
    return bytes(copy)


def images_by_protobuf(message):
    """Return the values of the image; None for a message that it refuses."""
    parsed = example_pb2.Example()
    try:
        parsed.ParseFromString(message)
    except Exception:  # noqa: BLE001 - the package's versions raise different ones
        return None
    return list(parsed.features.feature["image"].bytes_list.value)


@pytest.mark.parametrize("chunk_bytes", [64, 1000, 4096])
@given(sizes=st.lists(st.integers(0, 5000), max_size=25), labels=st.booleans())
@FUNCTION_FIXTURES
def test_records_of_any_sizes_are_read_once(memory_source, chunk_bytes, sizes, labels):
    images = [bytes([number]) * size for number, size in enumerate(sizes)]
    data = b"".join(
        framed(example(entry(b"image", bytes_list(image)), *[entry(image[:9], b"")] * labels))
        for image in images
    )
    decoder = format_named("tfrecord")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "CHUNK_BYTES", chunk_bytes)
        for _ in range(2):  # the second time it expects records like the last ones
            source = memory_source(data)
            assert [bytes(image) for image in decoder.decode(source)] == images
            again_bytes = (chunk_bytes / 64 + 12) * (1 + len(data) // chunk_bytes)
            assert source.bytes_read <= len(data) + again_bytes


@pytest.mark.parametrize("size", [700, 5_500, 9_000, 17_000, 40_000])
def test_a_large_record_is_not_read_twice(size, memory_source, monkeypatch):
    monkeypatch.setattr(tfrecord, "CHUNK_BYTES", 16_000)
    data = framed(example(entry(b"image", bytes_list(bytes(size))))) * 20
    decoder = format_named("tfrecord")
    for _ in range(2):
        source = memory_source(data)
        assert sum(1 for _ in decoder.decode(source)) == 20
        assert source.bytes_read <= 1.03 * len(data)
        assert source.largest_read_bytes <= 16_000 + size + 200


def test_a_length_that_the_file_does_not_have_takes_no_memory(memory_source):
    length = struct.pack("<Q", 2**31)
    header = length + TFRecordWriter.masked_crc(length)
    with pytest.raises(CorruptFile, match="the last record is cut off"):
        images_of(framed(example(IMAGE)) + header + bytes(1000), memory_source)
    too_long = struct.pack("<Q", 2**63)
    header = too_long + TFRecordWriter.masked_crc(too_long)
    with pytest.raises(CorruptFile, match="checksum of a record's length"):
        images_of(header + bytes(1000), memory_source)


def test_the_position_in_an_error_is_right_after_a_record_in_two_ranges(memory_source, monkeypatch):
    monkeypatch.setattr(tfrecord, "CHUNK_BYTES", 1000)
    record = framed(example(entry(b"image", bytes_list(bytes(700)))))
    data = bytearray(record * 5)
    data[3 * len(record) + 100] ^= 1
    with pytest.raises(CorruptFile, match=rf"byte {3 * len(record) + 12}, record 3"):
        images_of(bytes(data), memory_source)


def test_the_checksums_of_the_other_project_are_ours():
    ours = struct.pack("<I", record_layout.masked(crc32c(b"abc")))
    assert TFRecordWriter.masked_crc(b"abc") == ours
