"""Both formats: encode and decode, judged by numpy, zipfile and an independent TFRecord reader."""

from __future__ import annotations

import io
import mmap
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from named_formats import format_named
from tfrecord.reader import tfrecord_loader

from cm4storage.formats import tfrecord
from cm4storage.formats.archive import ArchiveWriter, read_directory, read_member
from cm4storage.formats.format import CorruptFile, FileShape
from cm4storage.formats.npy_header import decode_header, encode_header

SHAPES = [
    FileShape((1, 1), 1),
    FileShape((100, 77), 1),
    FileShape((100, 77), 5),
    FileShape((1500, 1500), 1),
    FileShape((3, 5), 200),
]
FORMATS = ["npz", "tfrecord"]

# The fixtures are functions without state: sharing them between examples is sound.
FUNCTION_FIXTURES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_size_is_known_beforehand(name, shape, encode):
    file_format = format_named(name)
    assert len(encode(file_format, shape)) == file_format.file_bytes(shape)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_samples_come_back(name, shape, encode, memory_source):
    file_format = format_named(name)
    source = memory_source(encode(file_format, shape))
    samples = [bytes(sample) for sample in file_format.decode(source)]
    assert [len(sample) for sample in samples] == [shape.record_bytes] * shape.samples
    assert len(set(samples)) == shape.samples or shape.record_bytes < 100


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_and_zipfile_read_what_we_write(shape, encode, memory_source):
    data = encode(format_named("npz"), shape)
    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    assert arrays["x"].shape == (*shape.record_shape, shape.samples)
    assert arrays["x"].dtype == np.uint8
    assert arrays["y"].tolist() == [0] * shape.samples
    assert arrays["y"].dtype == np.int64
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    samples = [bytes(s) for s in format_named("npz").decode(memory_source(data))]
    assert samples == [arrays["x"][..., i].tobytes() for i in range(shape.samples)]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("samples", [1, 4])
def test_we_read_what_numpy_writes(save, order, samples, memory_source):
    x = np.asarray(np.arange(60 * samples, dtype=np.uint8).reshape(6, 10, samples), order=order)
    stream = io.BytesIO()
    save(stream, x=x, y=np.zeros(samples))
    decoded = format_named("npz").decode(memory_source(stream.getvalue()))
    got = [np.frombuffer(sample, np.uint8).copy() for sample in decoded]
    assert np.array_equal(np.stack(got), np.moveaxis(x, -1, 0).reshape(samples, -1))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_independent_reader_accepts_our_tfrecords(shape, encode, memory_source, tmp_path):
    data = encode(format_named("tfrecord"), shape)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(data)
    features = {"image": "byte", "size": "int"}
    records = list(tfrecord_loader(str(path), None, features))
    assert [int(r["size"][0]) for r in records] == [shape.record_bytes] * shape.samples
    ours = [bytes(s) for s in format_named("tfrecord").decode(memory_source(data))]
    assert [bytes(r["image"]) for r in records] == ours


def test_a_large_tfrecord_file_is_read_in_parts(monkeypatch, encode, memory_source):
    monkeypatch.setattr(tfrecord, "CHUNK_BYTES", 1000)
    data = encode(format_named("tfrecord"), FileShape((13, 17), 50))
    source = memory_source(data)
    assert sum(1 for _ in format_named("tfrecord").decode(source)) == 50
    assert source.bytes_read < 1.5 * len(data)
    monkeypatch.setattr(tfrecord, "CHUNK_BYTES", 20)
    assert sum(1 for _ in format_named("tfrecord").decode(memory_source(data))) == 50


@pytest.mark.parametrize("name", FORMATS)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
@FUNCTION_FIXTURES
def test_a_flipped_bit_never_gives_a_wrong_sample(encode, memory_source, name, position, bit):
    file_format, shape = format_named(name), FileShape((20, 30), 3)
    data = bytearray(encode(file_format, shape))
    right = [bytes(sample) for sample in file_format.decode(memory_source(bytes(data)))]
    data[position % len(data)] ^= 1 << bit
    try:
        got = [bytes(sample) for sample in file_format.decode(memory_source(bytes(data)))]
    except CorruptFile:
        return
    assert got == right  # a bit that carries no data, such as a date


@pytest.mark.parametrize("name", FORMATS)
@given(length=st.integers(0, 2200))
@FUNCTION_FIXTURES
def test_a_cut_file_is_refused(encode, memory_source, name, length):
    file_format = format_named(name)
    data = encode(file_format, FileShape((20, 30), 3))
    cut = data[: length % len(data)]
    try:
        samples = list(map(bytes, file_format.decode(memory_source(cut))))
    except CorruptFile:
        return
    # A TFRecord file that ends between two records is whole; the loader counts the samples.
    assert name == "tfrecord"
    assert len(samples) < 3


def test_errors_name_file_record_and_byte(encode, memory_source):
    data = bytearray(encode(format_named("tfrecord"), FileShape((10, 10), 3)))
    record_bytes = len(data) // 3
    data[record_bytes + 50] ^= 1
    with pytest.raises(CorruptFile, match=rf"memory, byte {record_bytes + 12}, record 1"):
        list(format_named("tfrecord").decode(memory_source(bytes(data))))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros(3)}, "no array x"),
        ({"x": np.array([{}])}, "Python objects"),
        ({"x": np.zeros((3, 3), np.uint8)}, r"shape \(3, 3\), not"),
    ],
)
def test_archives_with_other_contents_are_refused(arrays, message, memory_source):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    with pytest.raises(CorruptFile, match=message):
        list(format_named("npz").decode(memory_source(stream.getvalue())))


@given(st.lists(st.integers(0, 50), max_size=4).map(tuple))
def test_npy_headers_are_numpys_own(shape):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.zeros(shape, np.uint8))
    header = encode_header("|u1", shape)
    assert stream.getvalue().startswith(header)
    assert decode_header(memoryview(header)).shape == shape


def test_an_archive_over_4_gib_is_readable_by_zipfile_and_by_us(tmp_path):
    writer, zeros = ArchiveWriter(), memoryview(bytes(2**20))
    path = tmp_path / "large.zip"
    with path.open("wb") as stream:
        for piece in writer.member("x", 2**32 + 5, [zeros] * 4096 + [zeros[:5]]):
            if len(piece) == len(zeros):
                stream.seek(len(piece), io.SEEK_CUR)  # a hole: the file takes no space
            else:
                stream.write(piece)
        stream.writelines(writer.member("y", 3, [memoryview(b"abc")]))
        stream.write(writer.directory())
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("x").file_size == 2**32 + 5
        assert archive.read("y") == b"abc"
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as mapped,
        memoryview(mapped) as view,
    ):
        members = read_directory(view)
        with read_member(view, members["y"]) as data:
            assert bytes(data) == b"abc"
    assert members["y"].offset > 2**32
