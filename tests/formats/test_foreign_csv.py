"""CSV: pandas reads ours, we read what pandas writes, and numbers are never wrapped or guessed."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from named_formats import format_named

from cm4storage.core.errors import UserError
from cm4storage.formats.format import CorruptFile, FileShape

COMPRESSIONS = ["none", "gzip", "bz2", "zip", "xz"]
TYPES = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
]
FUNCTION_FIXTURES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def csv(element_type="uint8", **more):
    return format_named("csv", record_element_type=element_type, **more)


def decoded(data, memory_source, element_type="uint8", **more):
    samples = csv(element_type, **more).decode(memory_source(data))
    return [bytes(sample) for sample in samples]


def saved(array, **options):
    stream = io.BytesIO()
    pandas.DataFrame(array).to_csv(stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("element_type", ["uint8", "int16", "float32"])
def test_pandas_reads_what_we_write_as_we_do(compression, element_type, encode, memory_source):
    shape = FileShape((20, 30), 5, element_type)
    data = encode(csv(element_type, compression=compression), shape)
    method = None if compression == "none" else compression
    frame = pandas.read_csv(io.BytesIO(data), header=None, compression=method, dtype=element_type)
    samples = decoded(data, memory_source, element_type, compression=compression)
    ours = np.stack([np.frombuffer(sample, element_type) for sample in samples])
    # pandas rounds single floats twice.
    np.testing.assert_allclose(
        frame.to_numpy(element_type), ours, rtol=1e-7 * ("f" in element_type)
    )


@pytest.mark.parametrize("element_type", TYPES)
def test_the_content_itself_is_written(element_type, encode, memory_source, known_content):
    shape = FileShape((9, 7), 6, element_type)
    expected = bytearray(shape.record_bytes * 6)
    known_content().fill(memoryview(expected))
    data = encode(csv(element_type), shape)
    samples = b"".join(decoded(data, memory_source, element_type))
    if "int" in element_type:
        assert samples == bytes(expected)
    texts = np.loadtxt(io.BytesIO(data), delimiter=",", dtype=element_type, ndmin=2)
    assert texts.astype(element_type).tobytes() == samples


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_files_with_names_and_numbers_are_read(compression, tmp_path, memory_source):
    array = np.random.default_rng(1).integers(0, 256, (300, 70), dtype=np.uint8)
    path = tmp_path / "a"
    method = None if compression == "none" else compression
    pandas.DataFrame(array).to_csv(path, compression=method)
    expected = [row.tobytes() for row in array]
    assert decoded(path.read_bytes(), memory_source, compression=compression) == expected


def test_long_lines_of_names_are_left_out(memory_source):
    array = np.random.default_rng(1).integers(0, 256, (3, 65536), dtype=np.uint8)
    assert decoded(saved(array), memory_source) == [row.tobytes() for row in array]


@given(
    array=st.sampled_from(TYPES).flatmap(
        lambda name: numpy_strategies.arrays(name, st.tuples(st.integers(1, 6), st.integers(1, 9)))
    ),
    has_names=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
@FUNCTION_FIXTURES
def test_all_numbers_of_all_types_come_back(memory_source, array, has_names, line_end):
    if array.dtype.kind == "f":
        array = np.nan_to_num(array)
    data = saved(array, header=has_names, index=has_names, lineterminator=line_end)
    got = decoded(data, memory_source, array.dtype.name)
    assert [np.frombuffer(row, array.dtype).tolist() for row in got] == array.tolist()


@pytest.mark.parametrize(
    ("text", "element_type", "place"),
    [
        (b"1,2\n3,256\n", "uint8", "'256' .* in line 2, column 2"),
        (b"1,2\n3,1000\n", "uint8", "'1000' .* in line 2, column 2"),
        (b"1,2\n-3,4\n", "uint8", "'-3' .* in line 2, column 1"),
        (b"1,2.0\n3,4\n", "uint8", "'2.0' .* in line 1, column 2"),
        (b"1,,2\n", "uint8", "'' .* in line 1, column 2"),
        (b"1,2,\n", "uint8", "'' .* in line 1, column 3"),
        (b"1,2\n\n3,4\n", "uint8", "'' .* in line 2, column 1"),
        (b"a,b\n1,2\n", "uint8", "'a' .* in line 1, column 1"),
        (b"1, 2\n", "uint8", "' 2' .* in line 1, column 2"),
        (b"1,\xff2\n", "uint8", r"'\\\\xff2' .* in line 1, column 2"),
        (b"1,2\n1,2\n1,2\n1\n", "uint8", "line 4 has 1 fields, those before have 2"),
        (b"1,2\n3,2\n", "bool", "'2' .* in line 1, column 2"),
        (b"1,200\n", "int8", "'200' .* in line 1, column 2"),
        (b"1.5,x\n", "float32", "'x' .* in line 1, column 2"),
        (b"1,18446744073709551616\n", "uint64", "'18446744073709551616' .* line 1, column 2"),
        (b"7" * 2000, "uint8", "a field does not end"),
        (b"1,2\n3,4", "uint8", "the last line is cut off"),
    ],
)
def test_what_is_no_number_is_named_by_its_place(text, element_type, place, memory_source):
    with pytest.raises(CorruptFile, match=place):
        decoded(text, memory_source, element_type)


def test_errors_name_record_and_byte_in_a_large_file(encode, memory_source):
    shape = FileShape((100, 100), 50)
    data = bytearray(encode(csv(), shape))
    line = 0
    for _ in range(40):
        line = data.index(b"\n", line) + 1
    data[line + 1000] = ord("x")
    start = max(data.rfind(b",", 0, line + 1000), line - 1) + 1
    with pytest.raises(CorruptFile, match=rf"in line 41, .*\n.*byte {start}, record 40"):
        decoded(bytes(data), memory_source)


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_the_level_counts(compression, level, encode, memory_source):
    shape = FileShape((100, 100), 3)
    data = encode(csv(compression=compression, compression_level=level), shape)
    plain = encode(csv(), shape)
    assert decoded(data, memory_source, compression=compression) == decoded(plain, memory_source)
    if level:
        assert len(data) < 0.6 * len(plain)


def test_higher_levels_are_smaller(encode):
    shape = FileShape((100, 100), 3)
    for compression in COMPRESSIONS[1:]:
        sizes = [
            len(encode(csv(compression=compression, compression_level=level), shape))
            for level in (1, 9)
        ]
        assert sizes[0] >= sizes[1]


def test_a_zip_has_no_date_of_its_own(encode):
    data = encode(csv(compression="zip"), FileShape((10, 10), 1))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        assert archive.testzip() is None


def test_streams_one_after_the_other_are_one_text(encode, memory_source):
    for compression in ("gzip", "bz2", "xz"):
        file_format = csv(compression=compression)
        data = encode(file_format, FileShape((10, 10), 2))
        (once, twice) = (
            decoded(part, memory_source, compression=compression) for part in (data, data * 2)
        )
        assert twice == once * 2


def test_an_archive_of_two_texts_is_refused(memory_source):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.csv", "1,2\n")
        archive.writestr("b.csv", "1,2\n")
    with pytest.raises(CorruptFile, match="has 2 members"):
        decoded(stream.getvalue(), memory_source, compression="zip")


def test_a_compression_that_csv_does_not_have_is_refused():
    with pytest.raises(UserError, match="lzf is not for csv"):
        csv(compression="lzf")


def test_a_large_file_is_read_in_parts(monkeypatch, encode, memory_source):
    monkeypatch.setattr("cm4storage.formats.csv_text._PART_BYTES", 1000)
    data = encode(csv(), FileShape((30, 30), 20))
    source = memory_source(data)
    assert len(list(csv().decode(source))) == 20
    assert source.largest_read_bytes == 1000
