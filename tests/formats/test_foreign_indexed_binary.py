"""Indexes as DLIO writes them, and others."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from named_formats import format_named

from cm4storage.formats.format import CorruptFile, FileShape
from cm4storage.storage.store import MissingObject

FUNCTION_FIXTURES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def index(numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def source_of(memory_source, data, offsets, sizes):
    return memory_source(data, {".off.idx": index(offsets), ".sz.idx": index(sizes)})


def samples_of(source):
    return [bytes(sample) for sample in format_named("indexed_binary").decode(source)]


def offsets_of_dlio(size_bytes, samples, buffer_bytes):
    """Return what DLIO's generator writes: each chunk's offsets begin at 0."""
    in_chunk = samples
    if size_bytes * samples > buffer_bytes:
        in_chunk = (buffer_bytes - buffer_bytes % size_bytes) // size_bytes
    return [size_bytes * (number % in_chunk) for number in range(samples)]


@pytest.mark.parametrize("name", ["indexed_binary", "mmap_indexed_binary"])
@pytest.mark.parametrize("element_type", ["uint8", "float32"])
def test_dlio_finds_our_samples(name, element_type, encode, companions, memory_source):
    dims, shape = (5, 7), FileShape((5, 7), 4, element_type)
    file_format = format_named(name, record_dims=dims, record_element_type=element_type)
    data, files = encode(file_format, shape), companions(file_format, shape)
    offsets, sizes = (np.frombuffer(files[suffix], np.int64) for suffix in (".off.idx", ".sz.idx"))
    expected = [data[at : at + size] for at, size in zip(offsets, sizes, strict=True)]
    assert [len(sample) for sample in expected] == [shape.record_bytes] * 4
    decoded = file_format.decode(memory_source(data, files))
    assert [bytes(sample) for sample in decoded] == expected


@given(size=st.integers(1, 40), samples=st.integers(1, 30), buffer_bytes=st.integers(40, 2000))
@FUNCTION_FIXTURES
def test_offsets_that_begin_again_are_read_for_what_they_mean(
    memory_source, size, samples, buffer_bytes
):
    data = np.random.default_rng(size).bytes(size * samples)
    offsets = offsets_of_dlio(size, samples, buffer_bytes)
    source = source_of(memory_source, data, offsets, [size] * samples)
    expected = [data[at : at + size] for at in range(0, len(data), size)]
    assert samples_of(source) == expected
    file_format, rows = format_named("indexed_binary"), [bytearray(size) for _ in expected]
    is_plain = offsets == list(range(0, len(data), size))
    views = [memoryview(row) for row in rows]
    assert file_format.decode_into(source, FileShape((size,), samples), views) is is_plain
    assert not is_plain or rows == expected


def test_samples_of_different_sizes_are_read(memory_source):
    source = source_of(memory_source, b"abbccc", [0, 1, 3], [1, 2, 3])
    assert samples_of(source) == [b"a", b"bb", b"ccc"]


def test_whole_samples_behind_the_last_are_left_alone(memory_source):
    assert samples_of(source_of(memory_source, b"aabbccdd", [0, 2], [2, 2])) == [b"aa", b"bb"]
    with pytest.raises(CorruptFile, match=r"longer than its index says\n.*byte 4"):
        samples_of(source_of(memory_source, b"aabbc", [0, 2], [2, 2]))


@pytest.mark.parametrize(
    ("offsets", "sizes", "message"),
    [
        ([0, 2, 4], [2, 2, 2], r"the sample is cut off\n.*memory, byte 4, record 2"),
        ([0, 3], [2, 2], r"an offset is wrong\n.*memory.off.idx, byte 8, record 1"),
        ([2, 4], [2, 2], r"an offset is wrong\n.*memory.off.idx, byte 0, record 0"),
        ([0, 2], [2], "1 sizes for 2 offsets"),
        ([0], [2, 2], "2 sizes for 1 offsets"),
        ([0, 2], [2, 0], r"a size cannot be\n.*memory.sz.idx, byte 8, record 1"),
        ([0, 2**63], [2**63, 2**63], r"a size cannot be\n.*record 0"),
        ([0, 2**62], [2**62, 2**62], r"a size cannot be\n.*record 1"),
    ],
)
def test_indexes_that_cannot_be_are_refused(offsets, sizes, message, memory_source):
    with pytest.raises(CorruptFile, match=message):
        samples_of(source_of(memory_source, b"aabb\0", offsets, sizes))


@given(
    offsets=st.lists(st.integers(0, 2**64 - 1), max_size=5),
    sizes=st.lists(st.integers(0, 2**64 - 1), max_size=5),
)
@example(offsets=[0] * 4, sizes=[2**62] * 4)
@FUNCTION_FIXTURES
def test_no_index_gives_another_exception(memory_source, offsets, sizes):
    try:
        samples = samples_of(source_of(memory_source, bytes(100), offsets, sizes))
    except CorruptFile:
        return
    assert [len(sample) for sample in samples] == sizes


def test_an_empty_file_has_no_samples(memory_source):
    assert samples_of(source_of(memory_source, b"", [], [])) == []
    with pytest.raises(CorruptFile, match="longer than its index says"):
        samples_of(source_of(memory_source, b"a", [], []))


def test_a_missing_index_is_missing(memory_source):
    with pytest.raises(MissingObject, match="no such file"):
        samples_of(memory_source(b"abc", {".off.idx": index([0])}))


def test_a_cut_index_names_itself(memory_source):
    with pytest.raises(CorruptFile, match=r"cut off\n.*memory.sz.idx, byte 7"):
        samples_of(memory_source(b"abc", {".off.idx": index([0]), ".sz.idx": bytes(7)}))
