"""TFRecord files of like records: read straight to the rows, and the index that DALI reads."""

from __future__ import annotations

import numpy as np
import pytest
from named_formats import format_named
from tfrecord.tools.tfrecord2idx import create_index
from tfrecord.writer import TFRecordWriter

from cm4storage.formats.format import CorruptFile, FileShape


def rows_of(shape):
    return [memoryview(bytearray(shape.record_bytes)) for _ in range(shape.samples)]


def written_by_others(path, images, **more):
    writer = TFRecordWriter(str(path))
    for image in images:
        writer.write({"image": (image, "byte"), **more})
    writer.close()
    return path.read_bytes()


def noise(count, size):
    generator = np.random.default_rng(1)
    return [generator.bytes(size) for _ in range(count)]


@pytest.mark.parametrize("samples", [1, 339, 340, 341, 1000])
def test_more_records_than_one_read_takes(samples, encode, memory_source):
    file_format, shape = format_named("tfrecord"), FileShape((5, 5), samples)
    source, rows = memory_source(encode(file_format, shape)), rows_of(shape)
    expected = [bytes(sample) for sample in file_format.decode(source)]
    assert file_format.decode_into(source, shape, rows)
    assert [bytes(row) for row in rows] == expected
    assert source.scatters == -(-samples // 340)


def test_our_own_files_are_read_directly_from_the_first_on(encode, memory_source):
    shape = FileShape((40, 50), 3)
    data, rows = encode(format_named("tfrecord"), shape), rows_of(shape)
    assert format_named("tfrecord").decode_into(memory_source(data), shape, rows)


def test_files_of_others_are_read_directly_once_one_is_known(tmp_path, memory_source):
    shape, images = FileShape((30, 20), 4), noise(4, 600)
    data = written_by_others(tmp_path / "a", images, label=(7, "int"))
    file_format, rows = format_named("tfrecord"), rows_of(shape)
    assert not file_format.decode_into(memory_source(data), shape, rows)
    assert [bytes(image) for image in file_format.decode(memory_source(data))] == images
    assert file_format.decode_into(memory_source(data), shape, rows)
    assert [bytes(row) for row in rows] == images


def test_records_that_differ_are_left_to_the_caller(tmp_path, memory_source):
    data = written_by_others(tmp_path / "a", [*noise(2, 600), *noise(1, 601), *noise(1, 599)])
    file_format, shape = format_named("tfrecord"), FileShape((30, 20), 4)
    for _ in range(10):
        source = memory_source(data)
        assert not file_format.decode_into(source, shape, rows_of(shape))
        assert [len(image) for image in file_format.decode(source)] == [600, 600, 601, 599]
    assert source.scatters == 0  # by now nothing is read for nothing


def test_many_unwanted_bytes_take_little_memory(encode, memory_source):
    file_format, shape = format_named("tfrecord"), FileShape((1000, 1000), 12)
    source = memory_source(encode(file_format, shape))
    rows = [memoryview(bytearray(10)) for _ in range(12)]
    expected = [bytes(sample[:10]) for sample in file_format.decode(source)]
    source.largest_read_bytes = 0
    assert file_format.decode_into(source, shape, rows)
    assert [bytes(row) for row in rows] == expected
    assert source.largest_read_bytes < 5 * 2**20


@pytest.mark.parametrize("record", [0, 5, 339, 340, 699])
def test_the_error_names_record_and_byte(record, encode, memory_source):
    file_format, shape = format_named("tfrecord"), FileShape((5, 5), 700)
    data = bytearray(encode(file_format, shape))
    size = len(data) // shape.samples
    data[record * size + 40] ^= 1
    place = rf"byte {record * size + 12}, record {record}"
    with pytest.raises(CorruptFile, match=place):
        file_format.decode_into(memory_source(bytes(data)), shape, rows_of(shape))
    with pytest.raises(CorruptFile, match=place):
        list(file_format.decode(memory_source(bytes(data))))


def test_small_records_before_a_damaged_one_are_given_out(encode, memory_source):
    file_format, shape = format_named("tfrecord"), FileShape((5, 5), 700)
    data = bytearray(encode(file_format, shape))
    expected = [bytes(image) for image in file_format.decode(memory_source(bytes(data)))]
    data[400 * (len(data) // 700) + 40] ^= 1
    got = []
    with pytest.raises(CorruptFile, match="record 400"):
        got.extend(bytes(image) for image in file_format.decode(memory_source(bytes(data))))
    images = file_format.decode(memory_source(bytes(data)))
    assert [bytes(next(images)) for _ in range(400)] == expected[:400]


@pytest.mark.parametrize("shape", [FileShape((1, 1), 1), FileShape((50, 50), 400)])
@pytest.mark.parametrize("folder", ["train", "valid"])
def test_the_index_is_that_of_tfrecord2idx(folder, shape, encode, tmp_path):
    file_format = format_named("tfrecord")
    path = tmp_path / "a.tfrecord"
    path.write_bytes(encode(file_format, shape))
    create_index(str(path), str(tmp_path / "a.idx"))
    (index,) = file_format.companions(f"{folder}/03/img_3_of_8.tfrecord", shape)
    assert index.key == f"index/{folder}/img_3_of_8.tfrecord.idx"
    assert index.content == (tmp_path / "a.idx").read_bytes()
