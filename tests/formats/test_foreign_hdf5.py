"""HDF5 files judged by h5py, written by it as DLIO does, or made to do harm."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from named_formats import format_named

from cm4storage.formats.format import CorruptFile, FileShape
from cm4storage.workload.sections import ELEMENT_TYPES

RANDOM = np.random.default_rng(7)
LIBRARY_VERSIONS = [None, "latest"]  # of DLIO until 2024, and since


def written(libver="latest", labels=0, **datasets):
    """Return a file as DLIO writes it; a dataset is an array, or one with h5py's options."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver=libver) as file:
        for name, given_array in datasets.items():
            array, options = given_array if isinstance(given_array, tuple) else (given_array, {})
            file.create_dataset(name, data=array, **options)
        file.create_dataset("labels", data=[labels] * 3)
    return stream.getvalue()


def array_of(*shape, dtype=np.uint8):
    return RANDOM.integers(0, 255, shape, np.uint8).astype(dtype)


def samples_of(data, memory_source, **settings):
    return [
        bytes(sample) for sample in format_named("hdf5", **settings).decode(memory_source(data))
    ]


@pytest.mark.parametrize("element_type", ELEMENT_TYPES)
@pytest.mark.parametrize("dims", [(4, 5), (6,), (2, 3, 4)])
@pytest.mark.parametrize(
    "options",
    [{}, {"hdf5_num_dset_per_record": 2}, {"compression": "gzip"}, {"compression": "lzf"}],
    ids=str,
)
def test_h5py_reads_what_we_write(element_type, dims, options, encode, memory_source):
    rules = {"record_dims": dims, "record_element_type": element_type, **options}
    data = encode(format_named("hdf5", **rules), FileShape(dims, 3, element_type))
    count = options.get("hdf5_num_dset_per_record", 1)
    names = [f"records_{number}" for number in range(count)]
    sides = (dims[0] // count, *dims[1:])
    with h5py.File(io.BytesIO(data)) as file:
        assert set(file) == {"labels", *names, *(["records"] if count == 1 else [])}
        assert file["labels"][:].tolist() == [0, 0, 0]
        for name in names:
            assert file[name].shape == (3, *(sides[1:] if sides[0] == 1 else sides))
            assert file[name].dtype == element_type
            assert file[name].compression == options.get("compression")
        expected = [b"".join(file[name][number].tobytes() for name in names) for number in range(3)]
    assert samples_of(data, memory_source, **rules) == expected


def test_chunks_and_largest_shape_are_those_of_the_workload(encode):
    rules = {
        "record_dims": (30, 50),
        "hdf5_chunk_dims": (2, 10, 25),
        "hdf5_max_shape": (60, 50),
        "compression": "gzip",
        "compression_level": 7,
    }
    data = encode(format_named("hdf5", **rules), FileShape((30, 50), 5))
    with h5py.File(io.BytesIO(data)) as file:
        records = file["records_0"]
        assert (records.chunks, records.maxshape) == ((2, 10, 25), (5, 60, 50))
        assert (records.compression, records.compression_opts) == ("gzip", 7)


def test_a_first_side_of_one_is_left_out_only_of_record_dims(encode):
    for dims, expected in (((1, 7), (2, 7)), ((), (2, 1, 7))):
        data = encode(format_named("hdf5", record_dims=dims), FileShape((1, 7), 2))
        with h5py.File(io.BytesIO(data)) as file:
            assert file["records_0"].shape == expected


def test_numbers_that_compress_are_compressed(encode):
    rules = {"record_dims": (300, 400), "record_element_type": "bool", "compression": "gzip"}
    data = encode(format_named("hdf5", **rules), FileShape((300, 400), 1, "bool"))
    assert len(data) < 300 * 400 / 4


def test_the_bytes_do_not_depend_on_the_clock(encode):
    shape = FileShape((10, 10), 2)
    data = encode(format_named("hdf5"), shape)
    with h5py.File(io.BytesIO(data)) as file:
        assert not any(h5py.h5o.get_info(file[name].id).mtime for name in file)
    assert not h5py.h5o.get_info(h5py.File(io.BytesIO(data)).id).ctime


@pytest.mark.parametrize("libver", LIBRARY_VERSIONS)
@pytest.mark.parametrize("name", ["records", "records_0"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (2, 3, 4)},
        {"compression": "gzip"},
        {"compression": "lzf", "shuffle": True},
        {"fletcher32": True},
        {"maxshape": (None, 10, 10)},
    ],
    ids=str,
)
def test_files_of_both_kinds_of_dlio_are_read(libver, name, options, memory_source):
    array = array_of(3, 10, 10)
    data = written(libver, **{name: (array, options)})
    assert samples_of(data, memory_source) == [sample.tobytes() for sample in array]


@pytest.mark.parametrize("dtype", [">i2", ">f8", "<u4", "bool", "<f2"])
@pytest.mark.parametrize("options", [{}, {"chunks": True}], ids=str)
def test_numbers_of_any_byte_order_are_little_endian(dtype, options, memory_source):
    array = array_of(3, 5, 6).astype(dtype)
    data = written(records_0=(array, options))
    little = array.astype(array.dtype.newbyteorder("<"))
    got = samples_of(data, memory_source, record_element_type=array.dtype.name)
    assert got == [sample.tobytes() for sample in little]


@pytest.mark.parametrize("libver", LIBRARY_VERSIONS)
@pytest.mark.parametrize("count", [1, 3])
@given(lengths=st.lists(st.one_of(st.none(), st.integers(0, 9 * 7)), min_size=3, max_size=3))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_foreign_files_are_read_directly_from_the_second_on(libver, count, lengths, memory_source):
    file_format = format_named("hdf5", record_dims=(9, 7), hdf5_num_dset_per_record=count)
    shape = FileShape((9, 7), 3)
    for turn in range(3):
        arrays = [array_of(3, 9 // count, 7) for _ in range(count)]
        named = {f"records_{number}": array for number, array in enumerate(arrays)}
        source = memory_source(written(libver, labels=turn, **named))
        rows = [None if n is None else memoryview(bytearray(n)) for n in lengths]
        assert file_format.decode_into(source, shape, rows) is (turn > 0)
        samples = [bytes(sample) for sample in file_format.decode(source)]
        assert samples == [b"".join(a[i].tobytes() for a in arrays) for i in range(3)]
        for row, sample in zip(rows, samples, strict=True):
            assert turn == 0 or row is None or row == sample[: len(row)]


def test_our_files_of_other_sizes_are_read_directly(encode, memory_source):
    file_format = format_named("hdf5")
    for side in (10, 13, 10, 200):
        shape = FileShape((side, 2 * side), 2)
        source = memory_source(encode(file_format, shape))
        rows = [memoryview(bytearray(shape.record_bytes)) for _ in range(2)]
        assert file_format.decode_into(source, shape, rows)
        assert rows == [bytes(sample) for sample in file_format.decode(source)]


@given(position=st.integers(0, 10**5), bit=st.integers(0, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_h5pys_checksums_are_looked_at(memory_source, position, bit):
    array = np.arange(3 * 20 * 30, dtype=np.uint8).reshape(3, 20, 30)
    data = bytearray(written("v110", records_0=(array, {"fletcher32": True})))
    data[position % len(data)] ^= 1 << bit
    try:
        got = samples_of(bytes(data), memory_source)
    except CorruptFile:
        return
    assert got == [sample.tobytes() for sample in array]


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"other": array_of(3, 4, 4)}, "no dataset records"),
        ({"records": array_of(4, 4)}, r"shape \(4, 4\): not 3 dimensions"),
        ({"records_0": array_of(3, 4, 4, dtype=np.int16)}, "type int16, not uint8"),
        ({"records_0": array_of(3, 4, 4), "records_1": array_of(3, 4, 4)}, "more than 1 datasets"),
        ({"records_0": np.array([["a"]], h5py.string_dtype())}, "type object, not uint8"),
        ({"records_0": h5py.Empty("u1")}, "no dataset with elements"),
        ({"records_0": np.uint8(3)}, "have shapes"),
        ({"records_0": np.zeros((3, 0, 4), np.uint8)}, "samples without any byte"),
    ],
)
def test_other_contents_are_refused(datasets, message, memory_source):
    with pytest.raises(CorruptFile, match=message):
        samples_of(written(**datasets), memory_source)


def test_data_in_other_files_are_refused(memory_source, tmp_path):
    other = tmp_path / "other.h5"
    other.write_bytes(written(records_0=array_of(3, 4, 4)))
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(100))

    def linked(file):
        file["records_0"] = h5py.ExternalLink(str(other), "records_0")

    def soft(file):
        file["x"] = array_of(3, 4, 4)
        file["records_0"] = h5py.SoftLink("/x")

    def external(file):
        file.create_dataset("records_0", (3, 4, 4), "u1", external=[(str(raw), 0, 48)])

    def virtual(file):
        layout = h5py.VirtualLayout((3, 4, 4), "u1")
        layout[:] = h5py.VirtualSource(str(other), "records_0", (3, 4, 4))
        file.create_virtual_dataset("records_0", layout)

    def group(file):
        file.create_group("records_0")

    for make, message in (
        (linked, "link to another place"),
        (soft, "link to another place"),
        (external, "in other files"),
        (virtual, "in other files"),
        (group, "no dataset with elements"),
    ):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            make(file)
        with pytest.raises(CorruptFile, match=message):
            samples_of(stream.getvalue(), memory_source)


def test_data_that_are_not_there_are_refused(memory_source):
    def empty(file):
        file.create_dataset("records_0", (3, 4, 4), "u1")

    def huge(file):
        file.create_dataset("records_0", (3, 2**20, 2**20), "u1", chunks=(1, 64, 64))

    def missing(file):
        file.create_dataset("records_0", (3, 64, 64), "u1", chunks=(1, 64, 64))[1] = 1

    for make, message in (
        (empty, "data are missing"),
        (huge, "cannot come of a file"),
        (missing, "chunks are missing"),
    ):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            make(file)
        with pytest.raises(CorruptFile, match=message):
            samples_of(stream.getvalue(), memory_source)


def test_parts_of_different_shapes_are_refused(memory_source):
    data = written(records_0=array_of(3, 4, 4), records_1=array_of(3, 5, 4))
    with pytest.raises(CorruptFile, match="the datasets have shapes"):
        samples_of(data, memory_source, hdf5_num_dset_per_record=2, record_dims=(8, 4))


def test_an_error_in_a_chunk_names_the_sample(memory_source):
    array = array_of(4, 50, 50)
    data = bytearray(written(records_0=(array, {"chunks": (1, 50, 50), "fletcher32": True})))
    data[bytes(data).index(array[2].tobytes()) + 5] ^= 1
    with pytest.raises(CorruptFile, match="record 2"):
        samples_of(bytes(data), memory_source)


@given(cut=st.integers(0, 10**5))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_old_files_that_were_cut_are_refused(cut, memory_source):
    data = written(None, records=array_of(3, 30, 30))
    with pytest.raises(CorruptFile, match=r"no HDF5 file.*\n.*memory"):
        samples_of(data[: cut % len(data)], memory_source)


def test_many_threads_can_write_and_read_at_once(encode, memory_source):
    shape = FileShape((64, 64), 3)

    def write_and_read(options):
        file_format = format_named("hdf5", **options)
        data = encode(file_format, shape)
        return [bytes(sample) for sample in file_format.decode(memory_source(data))]

    jobs = [{}, {"compression": "gzip"}, {"hdf5_chunk_dims": (1, 8, 8)}] * 20
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(write_and_read, jobs))
    assert all(result == results[0] for result in results)
