"""NPZ files that others wrote, or that somebody made to do harm: read right, or refused."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from named_formats import format_named

from cm4storage.formats.format import CorruptFile
from cm4storage.formats.npy_header import decode_header


def saved(save=np.savez, **arrays):
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def archive_of(array, method=zipfile.ZIP_STORED):
    """Return an archive whose member x.npy holds these bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", array)
    return stream.getvalue()


def array_of(header, data=b"", version=1):
    """Return a .npy array with any text as its header."""
    body = header.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(body))
    return b"\x93NUMPY" + bytes([version, 0]) + size + body + data


def header_of(descr="'|u1'", shape="(2, 3, 1)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def samples_of(data, memory_source, **settings):
    return [bytes(sample) for sample in format_named("npz", **settings).decode(memory_source(data))]


@given(
    array=numpy_strategies.arrays(
        st.sampled_from(["|u1", "|b1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", ">i8", "|i1"]),
        st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    ),
    is_fortran=st.booleans(),
    save=st.sampled_from([np.savez, np.savez_compressed]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_samples_of_every_type_are_little_endian_bytes(memory_source, array, is_fortran, save):
    data = saved(save, x=np.asfortranarray(array) if is_fortran else array, y=np.zeros(1))
    x = np.load(io.BytesIO(data))["x"]
    little = x.astype(x.dtype.newbyteorder("<"))
    expected = [little[..., number].tobytes() for number in range(x.shape[-1])]
    rules = {"record_dims": x.shape[:-1], "record_element_type": x.dtype.name}
    assert samples_of(data, memory_source, **rules) == expected


def test_one_fortran_ordered_sample_has_its_elements_in_c_order(memory_source):
    x = np.asfortranarray(np.arange(60, dtype=np.uint8).reshape(6, 10, 1))
    assert samples_of(saved(x=x), memory_source) == [bytes(range(60))]


@pytest.mark.parametrize(
    "descr",
    ["<U4", "|S3", "<m8[s]", "<M8[s]", "|V3", "<f16", "<c16", "|i1", "|b1", "<u2", "<f4"],
)
@pytest.mark.parametrize("samples", [1, 2])
def test_arrays_of_other_types_are_refused(descr, samples, memory_source):
    try:
        x = np.zeros((2, 2, samples), descr)
    except TypeError:
        pytest.skip(f"this platform has no {descr}")
    with pytest.raises(CorruptFile, match=r"are refused|not readable|not uint8"):
        samples_of(saved(x=x), memory_source)


def test_arrays_of_records_are_refused(memory_source):
    x = np.zeros((2, 2, 2), [("a", "u1"), ("b", "<f4")])
    with pytest.raises(CorruptFile, match="not readable, or says records"):
        samples_of(saved(x=x), memory_source)


@pytest.mark.parametrize(
    "header",
    [
        header_of("'xx1'"),
        header_of("'<f3'"),
        header_of("'|V0'"),
        header_of("'<U4'", "(2, 3, 2)"),
        header_of("'|u1'", "(0, 4611686018427387904, 4611686018427387904)"),
        header_of("'|u1'", "(4611686018427387904, 0, 2)"),
        header_of("'|u1'", "(4611686018427387904, 4611686018427387904, 1)"),
        header_of(shape=f"({'9' * 300}, 1, 1)"),
        header_of(shape=f"({'9' * 5000}, 1, 1)"),
        header_of(shape="(-2, -3, 1)"),
        header_of(shape="(2.0, 3, 1)"),
        header_of(shape="(True, 6, 1)"),
        header_of(shape="[2, 3, 1]"),
        header_of(shape="6"),
        header_of(shape="(,)"),
        header_of(shape="(2, , 3, 1)"),
        header_of(shape="(\u00b2, 3, 1)"),
        header_of(order="0"),
        header_of(order="'False'"),
        header_of("None"),
        header_of("3"),
        header_of("'|u1', 'more': 'x'"),
        "{}",
        "[]",
        "",
        "{'descr': '|u1'}",
        "(" * 9000,
        "[" * 9000 + "]" * 9000,
        "-" * 9000 + "1",
        "1" * 9000,
        "{'descr': '\\d', 'fortran_order': False, 'shape': (2, 3, 1)}",
        "{'descr': 0x1for x in y}",
        "9**9**9**9",
    ],
)
def test_headers_that_are_no_headers_are_refused(header, memory_source):
    data = archive_of(array_of(header, bytes(6), version=2))
    with pytest.raises(CorruptFile, match="damaged data"):
        samples_of(data, memory_source)


def test_headers_of_other_writers_are_read(memory_source):
    for text in (
        '{"shape": (2,3,1),"fortran_order": False,"descr": "|u1"}',
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3L, 1L)}   ",
        "  {  'descr' :'=u1' ,'shape':\n(2 , 3 , 1 ,) , 'fortran_order':False , }",
    ):
        data = archive_of(array_of(text, b"abcdef"))
        assert samples_of(data, memory_source) == [b"abcdef"]


def test_a_header_longer_than_numpy_takes_is_refused(memory_source):
    array = array_of(header_of() + " " * 10_000, bytes(6))
    with pytest.raises(ValueError, match="Header info length"):
        np.load(io.BytesIO(array))
    with pytest.raises(CorruptFile, match="longer than 10,000"):
        samples_of(archive_of(array), memory_source)


@given(st.binary(max_size=60))
def test_no_header_gives_another_exception(body):
    for version in (1, 2, 3):
        size = struct.pack("<H" if version == 1 else "<I", len(body))
        try:
            decode_header(memoryview(b"\x93NUMPY" + bytes([version, 0]) + size + body))
        except ValueError:
            continue
        pytest.fail("nothing as short as this is a header")


def zip64_archive(offset):
    """Return an archive whose only member's place is written in 64 bits."""
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 33, 0, 6, 6, 5, 12, 0, 0, 0, 0, 0xFFFFFFFF
    )
    entry += b"x.npy" + struct.pack("<2HQ", 1, 8, offset)
    return entry + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), 0, 0)


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1, 2**62, 1000])
def test_a_member_far_outside_the_file_is_refused(offset, memory_source):
    with pytest.raises(CorruptFile, match="points outside the file"):
        samples_of(zip64_archive(offset), memory_source)


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1, 2**62, 1000])
def test_a_directory_far_outside_the_file_is_refused(offset, memory_source):
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 51, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 51, 0xFFFFFFFF, 0)
    with pytest.raises(CorruptFile, match="points outside the file"):
        samples_of(end64 + locator + end, memory_source)
    far = struct.pack("<4sIQI", b"PK\6\7", 0, offset, 1)
    with pytest.raises(CorruptFile, match="points outside the file"):
        samples_of(end64 + far + end, memory_source)


def compressed_archive(array, said_bytes):
    """Return an archive with a compressed x.npy that is said to have another size."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeezer.compress(array) + squeezer.flush()
    fields = (20, 0, 8, 0, 33, zlib.crc32(array), len(packed), said_bytes)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", *fields, 5, 0) + b"x.npy" + packed
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields, 5, 0, 0, 0, 0, 0, 0) + b"x.npy"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


def test_no_more_is_expanded_than_the_directory_says(memory_source):
    bomb = compressed_archive(bytes(300 * 2**20), said_bytes=1000)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptFile, match="checksum of member"):
        samples_of(bomb, memory_source)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 100 * 1024


@pytest.mark.parametrize("said_bytes", [2**32 - 2, 100 * 2**20])
def test_a_size_that_compression_cannot_reach_is_refused(said_bytes, memory_source):
    array = array_of(header_of(), bytes(6))
    with pytest.raises(CorruptFile, match="compressed ones give"):
        samples_of(compressed_archive(array, said_bytes), memory_source)
    right = compressed_archive(array, len(array))
    assert samples_of(right, memory_source) == [bytes(6)]


def test_highly_compressed_arrays_are_read(memory_source):
    data = saved(np.savez_compressed, x=np.zeros((1000, 1000, 3), np.uint8), y=np.zeros(3))
    assert samples_of(data, memory_source) == [bytes(10**6)] * 3
