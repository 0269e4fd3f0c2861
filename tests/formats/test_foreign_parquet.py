"""Parquet: pyarrow and pandas read ours, we read theirs, and only what is wanted is fetched."""

from __future__ import annotations

import io

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from named_formats import format_named

from cm4storage.core.errors import UserError
from cm4storage.formats.format import CorruptFile, FileShape
from cm4storage.workload.plan import Plan, Split
from cm4storage.workload.sections import DatasetSection, ParquetColumn

COLUMNS = (
    ParquetColumn("label", "int64"),
    ParquetColumn("dense", "float32", 13),
    ParquetColumn("flags", "bool", 3),
    ParquetColumn("half", "float16"),
    ParquetColumn("text", "string", 5),
    ParquetColumn("raw", "binary", 4),
    ParquetColumn("listed", "list", 1),
    ParquetColumn("byte", "uint8"),
    ParquetColumn("word", "uint16", 2),
    ParquetColumn("wide", "float64"),
    ParquetColumn("truth", "bool"),
)
ROW_BYTES = 8 + 52 + 3 + 2 + 5 + 4 + 4 + 1 + 4 + 8 + 1


def parquet(columns=COLUMNS, **more):
    return format_named("parquet", parquet_columns=columns, **more)


def decoded(data, memory_source, columns=COLUMNS, **more):
    samples = parquet(columns, **more).decode(memory_source(data))
    return [bytes(sample) for sample in samples]


def written(table, **options):
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def bytes_of(column, array):
    """Return the bytes of a column's rows, by Python's lists."""
    kind = "float32" if column.dtype == "list" else column.dtype
    if kind in ("string", "binary"):
        return [row.encode() if isinstance(row, str) else row for row in array.to_pylist()]
    return [np.asarray(row, kind).tobytes() for row in array.to_pylist()]


def expected_rows(data, columns):
    table = pq.read_table(io.BytesIO(data))
    cells = [bytes_of(column, table.column(column.name)) for column in columns if column.read]
    return [b"".join(row) for row in zip(*cells, strict=True)]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_pyarrow_reads_what_we_write_as_we_do(compression, encode, memory_source):
    more = {"compression": compression, "parquet_row_group_size": 30}
    data = encode(parquet(**more), FileShape((ROW_BYTES,), 100))
    samples = decoded(data, memory_source, **more)
    assert samples == expected_rows(data, COLUMNS)
    assert {len(sample) for sample in samples} == {ROW_BYTES}
    assert len(set(samples)) == 100
    metadata = pq.read_metadata(io.BytesIO(data))
    assert [metadata.row_group(n).num_rows for n in range(4)] == [30, 30, 30, 10]
    assert metadata.row_group(0).column(0).compression == {"none": "UNCOMPRESSED"}.get(
        compression, "GZIP"
    )


def test_lists_have_a_fixed_size_and_numbers_none(encode):
    data = encode(parquet(), FileShape((ROW_BYTES,), 10))
    schema = pq.read_schema(io.BytesIO(data))
    assert schema.field("dense").type == pa.list_(pa.float32(), 13)
    assert schema.field("listed").type == pa.list_(pa.float32(), 1)
    assert schema.field("label").type == pa.int64()
    assert schema.field("half").type == pa.float16()


def test_pandas_reads_the_single_column(encode, memory_source):
    data = encode(format_named("parquet"), FileShape((8, 9), 7))
    frame = pandas.read_parquet(io.BytesIO(data))
    samples = format_named("parquet").decode(memory_source(data))
    assert [row.tobytes() for row in frame["data"]] == [bytes(sample) for sample in samples]


@pytest.mark.parametrize("kind", [pa.list_(pa.uint8()), pa.list_(pa.uint8(), 6)])
@pytest.mark.parametrize("options", [{}, {"row_group_size": 3}, {"compression": "snappy"}])
def test_single_columns_of_others_are_read(kind, options, memory_source):
    rows = np.random.default_rng(1).integers(0, 256, (10, 6), dtype=np.uint8)
    data = written(pa.table({"data": pa.array(rows.tolist(), kind)}), **options)
    samples = [bytes(row) for row in format_named("parquet").decode(memory_source(data))]
    assert samples == [row.tobytes() for row in rows]


def test_batches_are_cut_into_row_groups(encode):
    more = {"parquet_row_group_size": 4, "parquet_generation_batch_size": 10}
    metadata = pq.read_metadata(io.BytesIO(encode(parquet(**more), FileShape((ROW_BYTES,), 25))))
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sizes == [4, 4, 2, 4, 4, 2, 4, 1]


def test_only_columns_that_are_wanted_are_fetched(encode, memory_source):
    columns = tuple(
        ParquetColumn(f"c{number}", "float32", 64, read=number in (3, 17)) for number in range(20)
    )
    data = encode(parquet(columns, parquet_row_group_size=500), FileShape((512,), 2000))
    source = memory_source(data)
    samples = [bytes(s) for s in parquet(columns).decode(source)]
    assert samples == expected_rows(data, columns)
    assert len(samples[0]) == 2 * 64 * 4
    assert source.bytes_read < len(data) / 8 + 70_000  # the footer's first guess
    assert source.largest_read_bytes < 200_000


def test_rows_of_a_large_group_come_in_bounded_parts(encode, memory_source):
    columns = (ParquetColumn("a", "float32", 256),)
    data = encode(parquet(columns, parquet_row_group_size=10_000), FileShape((1024,), 10_000))
    samples = parquet(columns).decode(memory_source(data))
    assert next(samples).obj.nbytes <= 4 * 2**20
    assert sum(1 for _ in samples) == 9999


@pytest.mark.parametrize(
    "columns", [COLUMNS, COLUMNS[:1], COLUMNS[1:2], COLUMNS[7:8], COLUMNS[4:6]]
)
@pytest.mark.parametrize("samples", [1, 50, 3000])
@pytest.mark.parametrize("group", [1, 7, 1024])
def test_no_file_is_larger_than_said(columns, samples, group, encode):
    if samples // group > 500:
        pytest.skip("too many groups for a quick test")
    file_format = parquet(columns, parquet_row_group_size=group)
    shape = FileShape((sum(column.row_bytes for column in columns),), samples)
    assert len(encode(file_format, shape)) <= file_format.file_bytes(shape)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"other": [1.0]}, "there is no column a"),
        ({"a": pa.array([1, 2], pa.int32())}, "column a is of type int32, not float"),
        ({"a": pa.array([1.0, None], pa.float32())}, "column a has missing values"),
        (
            {"a": pa.array([[1.0]], pa.list_(pa.float32()))},
            r"column a is of type list.*, not float",
        ),
    ],
)
def test_other_columns_are_refused(table, message, memory_source):
    with pytest.raises(CorruptFile, match=message):
        decoded(written(pa.table(table)), memory_source, (ParquetColumn("a"),))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [3.0]], "lists of another size"),
        ([[1.0, 2.0], None], "missing values"),
        ([[1.0, 2.0], [1.0, None]], "missing values"),
    ],
)
def test_lists_that_are_not_whole_are_refused(rows, message, memory_source):
    data = written(pa.table({"a": pa.array(rows, pa.list_(pa.float32()))}))
    with pytest.raises(CorruptFile, match=message):
        decoded(data, memory_source, (ParquetColumn("a", size=2),))


def test_texts_of_another_size_are_refused(memory_source):
    data = written(pa.table({"a": ["abc", "ab"]}))
    with pytest.raises(CorruptFile, match="values of another size than 3"):
        decoded(data, memory_source, (ParquetColumn("a", "string", 3),))


def test_every_flipped_bit_in_a_page_is_found(encode, memory_source):
    columns = (ParquetColumn("a", "float32", 50),)
    data = bytearray(encode(parquet(columns), FileShape((200,), 20)))
    chunk = pq.read_metadata(io.BytesIO(bytes(data))).row_group(0).column(0)
    end = chunk.data_page_offset + chunk.total_compressed_size
    for position in range(end - 20 * 200, end):
        data[position] ^= 1 << position % 8
        with pytest.raises(CorruptFile, match=r"row group 0 cannot be read: .*CRC"):
            decoded(bytes(data), memory_source, columns)
        data[position] ^= 1 << position % 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compression": "bz2"}, "bz2 is not for parquet"),
        ({"parquet_columns": (ParquetColumn("a", "complex64"),)}, "unknown dtype complex64"),
        ({"parquet_columns": (ParquetColumn("a", read=False),)}, "no column has read: true"),
        ({"parquet_partition_by": "a"}, "a is no column of single numbers"),
        (
            {"parquet_partition_by": "a", "parquet_columns": (ParquetColumn("a", "string", 3),)},
            "a is no column of single numbers",
        ),
    ],
)
def test_settings_that_parquet_cannot_have_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        format_named("parquet", **settings)


def test_files_of_partitions_are_one_table_for_others(encode, tmp_path, memory_source):
    columns = (ParquetColumn("x", "float32", 3), ParquetColumn("label", "int32"))
    dataset = DatasetSection(
        format="parquet",
        parquet_columns=columns,
        parquet_partition_by="label",
        num_files_train=25,
        num_subfolders_train=12,
        num_samples_per_file=4,
    )
    file_format, plan = parquet(columns, parquet_partition_by="label"), Plan(dataset)
    keys = [file.key for file in plan.files() if file.split is Split.TRAIN]
    assert keys[0] == "train/label=00/img_00_of_25.parquet"
    assert keys == sorted(keys)
    for key in keys:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(file_format, FileShape((16,), 4)))
        source = memory_source(path.read_bytes())
        source.name = f"file://{path}"
        samples = [bytes(sample) for sample in file_format.decode(source)]
        folder = int(key.split("=")[1][:2])
        assert [np.frombuffer(sample[12:], np.int32)[0] for sample in samples] == [folder] * 4
    table = pq.read_table(tmp_path / "train")
    assert table.num_rows == 100
    assert sorted(set(table.column("label").to_pylist())) == list(range(12))


def test_a_file_outside_its_partition_is_refused(encode, memory_source):
    columns = (ParquetColumn("x", "float32", 3), ParquetColumn("label", "int32"))
    file_format = parquet(columns, parquet_partition_by="label")
    data = encode(file_format, FileShape((16,), 4))
    with pytest.raises(CorruptFile, match="in no folder label=NUMBER"):
        list(file_format.decode(memory_source(data)))


def test_the_plan_counts_the_columns_that_are_read():
    columns = (ParquetColumn("x", "float32", 3), ParquetColumn("y", "int8", 100, read=False))
    dataset = DatasetSection(format="parquet", parquet_columns=columns, num_samples_per_file=10)
    assert dataset.sample_bytes == 12
    assert next(Plan(dataset).files()).record_shape == (12,)
    assert Plan(dataset).payload_bytes() == 8 * 10 * 12
    assert dataset.item_bytes == 1
