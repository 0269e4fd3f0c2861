"""NPY files and headers that numpy wrote, and files that are none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from named_formats import format_named

from cm4storage.formats.format import CorruptFile, FileShape
from cm4storage.formats.npy_header import decode_header, encode_header, type_code
from cm4storage.workload.sections import ELEMENT_TYPES

FUNCTION_FIXTURES = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIDES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(array):
    stream = io.BytesIO()
    np.savez(stream, x=array, y=[0] * array.shape[-1])
    return stream.getvalue()


def array_format(name, array):
    return format_named(name, record_dims=array.shape[:-1], record_element_type=array.dtype.name)


def samples_of(file_format, source):
    return [bytes(sample) for sample in file_format.decode(source)]


@given(
    st.lists(st.integers(0, 2**40), max_size=12).map(tuple),
    st.sampled_from([*ELEMENT_TYPES, "longdouble"]),
)
@example((0, 100000, 10000000, 100000000, 1000000000), "bool")  # the text ends with a line of 64
def test_headers_are_numpys_own(shape, element_type):
    fields = {"descr": "<i8", "fortran_order": False, "shape": shape}
    if element_type in ELEMENT_TYPES:
        fields["descr"] = np.lib.format.dtype_to_descr(np.dtype(element_type))
        assert type_code(element_type) == fields["descr"]
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, fields)
    header = encode_header(fields["descr"], shape)
    assert stream.getvalue() == header
    read = decode_header(memoryview(header))
    assert (read.shape, read.data_offset) == (shape, len(header))


@given(
    array=numpy_strategies.arrays(
        st.sampled_from(["|u1", "|b1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8"]),
        st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    ),
    is_fortran=st.booleans(),
)
@FUNCTION_FIXTURES
def test_arrays_of_numpy_are_read(memory_source, array, is_fortran):
    data = npy(np.asfortranarray(array) if is_fortran else array)
    little = array.astype(array.dtype.newbyteorder("<"))
    expected = [little[..., number].tobytes() for number in range(array.shape[-1])]
    assert samples_of(array_format("npy", array), memory_source(data)) == expected


@pytest.mark.parametrize("save", [npy, npz])
@given(data=st.data(), sides=SIDES, length=st.integers(0, 5000))
@FUNCTION_FIXTURES
def test_one_sample_of_numpy_is_read_directly(memory_source, save, data, sides, length):
    strategy = numpy_strategies.arrays(st.sampled_from(["|u1", "<i2", "<f4"]), (*sides, 1))
    array = data.draw(strategy)
    file_format = array_format(save.__name__, array)
    source = memory_source(save(array))
    samples_of(file_format, source)
    row = memoryview(bytearray(min(length, array.nbytes)))
    shape = FileShape(sides, 1, array.dtype.name)
    assert file_format.decode_into(source, shape, [row])
    assert bytes(row) == array.tobytes()[: len(row)]


@pytest.mark.parametrize("save", [npy, npz])
def test_one_fortran_ordered_sample_is_not_taken_for_one_in_c_order(save, memory_source):
    array = np.asfortranarray(np.arange(60, dtype=np.uint8).reshape(6, 10, 1))
    file_format = array_format(save.__name__, array)
    source = memory_source(save(array))
    assert samples_of(file_format, source) == [bytes(range(60))]
    assert not file_format.decode_into(source, FileShape((6, 10), 1), [None])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(np.zeros((3, 3), np.uint8)), r"shape \(3, 3\), not 3 dimensions"),
        (npy(np.zeros((3, 3, 1), np.int16)), "type '<i2', not uint8"),
        (npy(np.array([{}]), allow_pickle=True), "Python objects"),
        (
            npy(np.zeros((3, 3, 2), np.uint8))[:-1],
            r"17 bytes of elements, and 18 by its header\n.*byte 145",
        ),
        (npy(np.zeros((3, 3, 2), np.uint8)) + b"x", "19 bytes of elements, and 18 by its header"),
        (npy(np.zeros((3, 0, 2), np.uint8)), "samples without any byte"),
        (npz(np.zeros((3, 3, 1), np.uint8)), "no .npy array"),
        (b"", "no .npy array"),
    ],
)
def test_other_files_are_refused(data, message, memory_source):
    with pytest.raises(CorruptFile, match=message):
        samples_of(format_named("npy"), memory_source(data))


@pytest.mark.parametrize("samples", [2, 7, 40])
def test_many_samples_are_brought_into_order_in_blocks(samples, memory_source, monkeypatch):
    monkeypatch.setattr("cm4storage.formats.arrays._BLOCK_BYTES", 3000)
    array = np.random.default_rng(1).integers(0, 255, (10, 77, samples), np.uint8)
    expected = [array[..., number].tobytes() for number in range(samples)]
    assert samples_of(array_format("npy", array), memory_source(npy(array))) == expected


def test_npy_without_samples_has_none(memory_source):
    assert samples_of(format_named("npy"), memory_source(npy(np.zeros((3, 3, 0), np.uint8)))) == []
