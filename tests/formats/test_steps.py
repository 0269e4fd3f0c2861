"""Large npz files are verified while they are read, part by part, with the same result."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_files import MemorySource
from named_formats import format_named

from cm4storage.core.units import MIB
from cm4storage.formats.format import FileShape, SteppedSource
from cm4storage.formats.steps import STEP_BYTES
from cm4storage.loader.file_reader import ReadCounters, SteppedFile, StoredFile
from cm4storage.storage.folders.file import FileStore

SHAPE = FileShape((STEP_BYTES + 1000, 3), 1)
KINDS = ("at once", "by steps")


class SteppedMemorySource(MemorySource, SteppedSource):
    """A source that can be read by steps; they are counted."""

    steps = 0

    def read_steps(self, start, steps):
        for buffers in steps:
            self.steps += 1
            count = self.scatter(start, buffers)
            yield count
            start += count


SOURCES = {"at once": MemorySource, "by steps": SteppedMemorySource}


@pytest.fixture(scope="module")
def files():
    """Return an array, and the files that we and numpy make of it."""
    array = np.frombuffer(np.random.default_rng(1).bytes(SHAPE.record_bytes), np.uint8)
    array = array.reshape(SHAPE.record_shape)
    stream = io.BytesIO()
    # DLIO's shape: samples are the last axis.
    np.savez(stream, x=array[..., np.newaxis], y=np.zeros(1, np.int64))
    return array, stream.getvalue()


def read(kind, data, length):
    """Return the row that a file comes to, and whether it was read directly."""
    file_format, source = format_named("npz"), SOURCES[kind](data)
    for _ in file_format.decode(MemorySource(data)):
        pass  # shows who wrote it
    row = None if length is None else memoryview(bytearray(length))
    return row, file_format.decode_into(source, SHAPE, [row]), source


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [None, 0, 1, STEP_BYTES, STEP_BYTES + 1, SHAPE.record_bytes])
def test_a_row_has_the_first_bytes_of_the_sample(files, kind, length):
    array, data = files
    row, is_read, source = read(kind, data, length)
    assert is_read
    assert row is None or row == array.tobytes()[:length]
    assert source.bytes_read <= len(data) + 1
    if kind == "by steps":
        assert source.steps >= SHAPE.record_bytes // STEP_BYTES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"x", lambda d: d[:MIB]])
def test_a_file_of_another_size_is_left_to_the_caller(files, kind, change):
    file_format = format_named("npz")
    for _ in file_format.decode(MemorySource(files[1])):
        pass
    source = SOURCES[kind](change(files[1]))
    assert not file_format.decode_into(source, SHAPE, [memoryview(bytearray(10))])


@given(place=st.integers(0, SHAPE.record_bytes + 500), bit=st.integers(0, 7))
@settings(max_examples=30)
def test_a_flipped_bit_anywhere_is_found(files, place, bit):
    file_format = format_named("npz")
    for _ in file_format.decode(MemorySource(files[1])):
        pass
    data = bytearray(files[1])
    data[place % len(data)] ^= 1 << bit
    assert not file_format.decode_into(SteppedMemorySource(bytes(data)), SHAPE, [None])


def test_all_steps_count_as_one_read(files, tmp_path):
    array, data = files
    store, counters = FileStore(tmp_path), ReadCounters()
    store.write("a", [memoryview(data)])
    file = SteppedFile(store, "a", counters, store)
    file_format = format_named("npz")
    with StoredFile(store, "a", ReadCounters()).read(0, None) as view:
        assert bytes(view) == data
    for _ in file_format.decode(StoredFile(store, "a", ReadCounters())):
        pass
    row = memoryview(bytearray(SHAPE.record_bytes))
    assert file_format.decode_into(file, SHAPE, [row])
    assert row == array.tobytes()
    assert (counters.io.count, counters.bytes_read) == (1, len(data))
    assert file.io_s == pytest.approx(counters.io.total_s)
