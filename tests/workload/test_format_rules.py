"""Settings that only some formats have are refused where they mean nothing."""

from __future__ import annotations

import io

import h5py
import pytest

from cm4storage.core.errors import UserError
from cm4storage.formats.format import FileShape, format_of
from cm4storage.workload.format_rules import COMPRESSIONS
from cm4storage.workload.resolve import Request, resolve

FILE = """
dataset:
  format: {format}
  num_files_train: 8
  num_samples_per_file: 2
  record_length_bytes: 10000
"""


@pytest.fixture
def resolved(tmp_path):
    """Return a function that resolves a workload of one format with further keys."""

    def resolve_with(name, **settings):
        path = tmp_path / "own.yaml"
        path.write_text(FILE.format(format=name))
        params = " ".join(f"dataset.{key}='{value}'" for key, value in settings.items())
        return resolve(Request(config=path, params=params)).workload.dataset

    return resolve_with


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("compression", ["gzip", "lzf", "bz2", "zip", "xz"])
def test_a_format_takes_only_its_own_compressions(name, compression, resolved):
    assert resolved(name).compression == "none"
    if compression in COMPRESSIONS[name]:
        assert resolved(name, compression=compression).compression == compression
        return
    with pytest.raises(UserError, match=f"{name} files cannot be compressed by {compression}"):
        resolved(name, compression=compression)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hdf5.num_dset_per_record": 2}, "no given dimensions has no 2 equal parts"),
        ({"hdf5.num_dset_per_record": 2, "record_dims": "[3, 4]"}, "3 x 4 has no 2 equal parts"),
        ({"hdf5.chunk_dims": "[10, 10]"}, r"chunk_dims: 10 x 10 is not 3 numbers.*\n.*\n.*samples"),
        ({"hdf5.chunk_dims": "[3, 10, 10]"}, "3 x 10 x 10 is larger than the dataset of 2 x 100"),
        ({"hdf5.chunk_dims": "[1, 10, 101]"}, "is larger than the dataset"),
        ({"hdf5.max_shape": "[200]"}, "max_shape: 200 is not 2 numbers"),
        ({"hdf5.max_shape": "[200, 99]"}, "200 x 99 is less than a record's 100 x 100"),
        ({"hdf5.max_shape": "[1, 7]", "record_dims": "[1, 7]"}, "1 x 7 is not 1 numbers"),
    ],
)
def test_hdf5_settings_that_cannot_be(settings, message, resolved):
    with pytest.raises(UserError, match=message):
        resolved("hdf5", **settings)
    assert resolved("npz", **settings).format == "npz"


@pytest.mark.parametrize(
    ("settings", "shape", "expected"),
    [
        ({"hdf5.chunk_dims": "[1, 10, 25]"}, (100, 100), ((1, 10, 25), (2, 100, 100))),
        (
            {"hdf5.chunk_dims": "[1, 10, 25]", "hdf5.max_shape": "[200, 300]"},
            (100, 100),
            ((1, 10, 25), (2, 200, 300)),
        ),
        (
            {"hdf5.chunk_dims": "[2, 90, 120]", "record_length_bytes_stdev": 3000},
            (80, 150),
            ((2, 80, 120), (2, 80, 150)),
        ),
        (
            {"hdf5.max_shape": "[90, 120]", "record_length_bytes_stdev": 3000},
            (100, 100),
            (None, (2, 100, 120)),
        ),
    ],
)
def test_hdf5_settings_that_can_be(settings, shape, expected, resolved):
    file_format = format_of(resolved("hdf5", **settings))

    class Zeros:
        number = 0

        def fill(self, buffer):
            buffer[:] = bytes(len(buffer))

    data = b"".join(map(bytes, file_format.encode(FileShape(shape, 2), Zeros())))
    with h5py.File(io.BytesIO(data)) as file:
        records = file["records_0"]
        chunks, max_shape = expected
        assert records.maxshape == max_shape
        assert chunks in (records.chunks, None)
