"""Every format holds the contract; npz and tfrecord are judged by foreign software besides."""

from __future__ import annotations

import csv
import io
import mmap
import zipfile

import numpy as np
import pytest
from format_contract import DAMAGE_SHAPE, FORMATS, SHAPES
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from named_formats import format_named
from tfrecord.reader import tfrecord_loader

from cm4storage.formats import tfrecord
from cm4storage.formats.archive import ArchiveWriter, read_directory, read_member
from cm4storage.formats.format import CorruptFile, DirectFormat, FileShape
from cm4storage.storage.store import MissingObject

# The fixtures are functions without state: sharing them between examples is sound.
FUNCTION_FIXTURES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# To draw an example takes longer than to try it, so each holds several.
TIMES = 5
SEVERAL_EACH = settings(FUNCTION_FIXTURES, max_examples=300 // TIMES)
CASES_AND_SHAPES = [
    pytest.param(case, shape, id=f"{case}-{shape.samples}x{shape.record_shape}{shape.element_type}")
    for case in FORMATS
    for shape in case.shapes
]
DIRECT = [case for case in FORMATS if isinstance(case.make(DAMAGE_SHAPE), DirectFormat)]


def several(*strategies):
    """Return a strategy for several examples at once."""
    return st.tuples(*[st.tuples(*strategies)] * TIMES)


def decoded(file_format, source):
    return [bytes(sample) for sample in file_format.decode(source)]


@pytest.mark.parametrize(("case", "shape"), CASES_AND_SHAPES)
def test_size_is_known_beforehand(case, shape, made):
    file_format, data = case.make(shape), made(case, shape).data
    if file_format.has_exact_size:
        assert len(data) == file_format.file_bytes(shape)
    assert len(data) <= file_format.file_bytes(shape)


@pytest.mark.parametrize(("case", "shape"), CASES_AND_SHAPES)
def test_the_bytes_are_the_same_each_time(case, shape, encode, made):
    file_format = case.make(shape)
    assert encode(file_format, shape) == encode(file_format, shape) == made(case, shape).data


@pytest.mark.parametrize(("case", "shape"), CASES_AND_SHAPES)
def test_samples_come_back(case, shape, made, memory_source):
    file_format, file = case.make(shape), made(case, shape)
    source = memory_source(file.data, file.siblings)
    samples = decoded(file_format, source)
    assert [len(sample) for sample in samples] == [shape.record_bytes] * shape.samples
    distinct = 1 if case.has_equal_samples else shape.samples
    assert len(set(samples)) == distinct or shape.record_bytes < 100
    assert decoded(file_format, source) == samples


@pytest.mark.parametrize(("case", "shape"), CASES_AND_SHAPES)
def test_elements_are_numbers(case, shape, made):
    for sample in made(case, shape).samples:
        if shape.element_type == "bool":
            assert set(sample) <= {0, 1}
        elements = np.frombuffer(sample, shape.element_type)
        assert np.isfinite(elements).all()
        assert len(elements) < 100 or len(np.unique(elements)) > 1


@pytest.mark.parametrize("case", FORMATS, ids=str)
def test_a_large_file_is_written_in_small_parts(case, known_content):
    if case.largest_part_bytes is None:
        pytest.skip("this format needs a whole record or file at once")
    parts = case.make(case.large_shape).encode(case.large_shape, known_content())
    assert max(len(part) for part in parts) <= case.largest_part_bytes


@pytest.mark.parametrize("case", FORMATS, ids=str)
@given(flips=several(st.integers(0, 10**6), st.integers(0, 7)))
@SEVERAL_EACH
def test_a_flipped_bit_never_gives_a_wrong_sample(made, memory_source, case, flips):
    for position, bit in flips:
        file_format, file = case.make(case.damage_shape), made(case, case.damage_shape)
        files = {key: bytearray(data) for key, data in file.files.items()}
        flip(files, position, bit)
        data = bytes(files.pop(""))
        try:
            got = decoded(file_format, memory_source(data, files))
        except CorruptFile:
            continue
        if case.has_checksums:
            assert got == file.samples  # a bit that carries no data, such as a date
        # Without checksums a sample may be another, but only where the bit is.
        assert sum(a != b for a, b in zip(got, file.samples, strict=True)) <= 1


def flip(files, position, bit):
    """Flip one bit of the files, counted through all of them."""
    position %= sum(map(len, files.values()))
    for data in files.values():
        if position < len(data):
            data[position] ^= 1 << bit
            return
        position -= len(data)


@pytest.mark.parametrize("case", FORMATS, ids=str)
@given(cuts=several(st.integers(0, 5000), st.integers(0, 9)))
@SEVERAL_EACH
def test_a_cut_file_is_refused(made, memory_source, case, cuts):
    for length, key in cuts:
        file_format = case.make(case.damage_shape)
        files = made(case, case.damage_shape).files
        cut = list(files)[key % len(files)] if case.reads_companions else ""
        files[cut] = files[cut][: length % len(files[cut])]
        try:
            samples = decoded(file_format, memory_source(files.pop(""), files))
        except CorruptFile:
            continue
        # A file that ends between two records may be whole; the loader counts the samples.
        assert case.has_ends
        assert len(samples) < 3 or case.reads_nothing


def numbers_in_lines(data):
    """Return the bytes that the standard library sees in each line of a CSV text."""
    lines = list(csv.reader(io.StringIO(data.decode("ascii"))))
    if data.startswith(b","):  # names of columns, and the numbers of lines
        lines = [line[1:] for line in lines[1:]]
    return [bytes(map(int, line)) for line in lines]


@pytest.mark.parametrize("case", FORMATS, ids=str)
@given(st.binary(max_size=300))
@example(b"0\n")
@example(b"1,2\n3,4\n")
@FUNCTION_FIXTURES
def test_other_bytes_give_no_other_exception(case, made, memory_source, data):
    file_format = case.make(case.damage_shape)
    source = memory_source(data, made(case, case.damage_shape).siblings)
    try:
        samples = decoded(file_format, source)
    except CorruptFile:
        return
    if case.name == "csv" and samples:
        # Few bytes may be lines of numbers by chance; how many belong in one the loader knows.
        assert samples == numbers_in_lines(data)
        return
    assert samples == [] or case.has_any_bytes


@pytest.mark.parametrize("case", FORMATS, ids=str)
def test_a_missing_file_is_missing(case, companions, memory_source):
    file_format = case.make(case.damage_shape)
    if case.reads_nothing:
        pytest.skip("nothing is read")
    with pytest.raises(MissingObject, match="no such file"):
        decoded(file_format, memory_source(None, companions(file_format, case.damage_shape)))


def rows_for(shape, lengths):
    """Return rows of these lengths within one block of memory; None for None."""
    block = memoryview(bytearray(b"\xa5" * (shape.record_bytes * shape.samples)))
    starts = range(0, len(block), shape.record_bytes or 1)
    return [
        None if length is None else block[start : start + min(length, shape.record_bytes)]
        for start, length in zip(starts, lengths, strict=False)
    ]


@pytest.mark.parametrize(
    ("case", "shape"), [each for each in CASES_AND_SHAPES if each.values[0] in DIRECT]
)
@given(data=st.data())
@settings(FUNCTION_FIXTURES, max_examples=20)
def test_reading_directly_gives_what_decoding_gives(case, shape, made, memory_source, data):
    file_format, file = case.make(shape), made(case, shape)
    source = memory_source(file.data, file.siblings)
    samples = decoded(file_format, source)
    length = st.one_of(st.none(), st.just(shape.record_bytes), st.integers(0, shape.record_bytes))
    lengths = data.draw(st.lists(length, min_size=shape.samples, max_size=shape.samples))
    rows, before = rows_for(shape, lengths), source.scatters
    if not file_format.decode_into(source, shape, rows):
        assert not case.is_direct(shape)
        return
    assert source.scatters <= before + 1
    for row, sample in zip(rows, samples, strict=True):
        assert row is None or row == sample[: len(row)]


@pytest.mark.parametrize("case", DIRECT, ids=str)
def test_most_files_are_read_directly(case, made, memory_source):
    for shape in case.shapes:
        file_format, file = case.make(shape), made(case, shape)
        source = memory_source(file.data, file.siblings)
        decoded(file_format, source)
        rows = rows_for(shape, [shape.record_bytes] * shape.samples)
        assert file_format.decode_into(source, shape, rows) is case.is_direct(shape)


@pytest.mark.parametrize("case", DIRECT, ids=str)
@given(damages=several(st.integers(0, 10**6), st.integers(0, 7), st.integers(-700, 700)))
@SEVERAL_EACH
def test_reading_directly_finds_the_same_damage(case, made, memory_source, damages):
    shape = case.damage_shape_direct
    file = made(case, shape)
    for position, bit, end in damages:
        file_format = case.make(shape)
        decoded(file_format, memory_source(file.data, file.siblings))
        files = {key: bytearray(content) for key, content in file.files.items()}
        flip(files, position, bit)
        data = bytes(files.pop("")) + bytes(max(0, end))
        rows = rows_for(shape, [shape.record_bytes] * shape.samples)
        source = memory_source(data[: len(data) + min(0, end)], files)
        try:
            is_read = file_format.decode_into(source, shape, rows)
        except CorruptFile:
            continue
        if is_read:
            assert end == 0 or case.reads_nothing
            wrong = sum(row != sample for row, sample in zip(rows, file.samples, strict=True))
            assert wrong == 0 if case.has_checksums else wrong <= 1


@pytest.mark.parametrize("case", DIRECT, ids=str)
def test_files_of_another_shape_are_not_read_directly(case, made, memory_source):
    shape = case.damage_shape_direct
    file_format, file = case.make(shape), made(case, shape)
    source = memory_source(file.data, file.siblings)
    decoded(file_format, source)
    height, *others = shape.record_shape
    for other in (
        FileShape((height + 1, *others), shape.samples),
        FileShape(shape.record_shape, shape.samples + 1),
        FileShape(shape.record_shape, shape.samples, "int32"),
    ):
        rows = rows_for(other, [other.record_bytes] * other.samples)
        assert file_format.decode_into(source, other, rows) is case.reads_nothing


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


@pytest.mark.parametrize("shape", SHAPES)
def test_an_npz_file_is_the_archive_of_its_two_arrays(shape, encode):
    data = encode(format_named("npz"), shape)
    archive, members = ArchiveWriter(), zipfile.ZipFile(io.BytesIO(data))
    arrays = {name: members.read(name) for name in members.namelist()}
    parts = [
        bytes(part)
        for name, array in arrays.items()
        for part in archive.member(name, len(array), [memoryview(array)])
    ]
    assert data == b"".join(parts) + bytes(archive.directory())


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


@pytest.mark.parametrize("case", DIRECT, ids=str)
def test_files_that_are_never_as_expected_are_not_read_twice_for_long(
    case, encode, companions, memory_source
):
    if case.reads_nothing:
        pytest.skip("nothing is read")
    shape = case.damage_shape_direct
    file_format = case.make(shape)
    files = companions(file_format, shape)
    sources = [memory_source(encode(file_format, shape) + b"x", files) for _ in range(10)]
    rows = rows_for(shape, [shape.record_bytes] * shape.samples)
    assert not any(file_format.decode_into(source, shape, rows) for source in sources)
    assert sum(source.bytes_read > 0 for source in sources) <= 3
