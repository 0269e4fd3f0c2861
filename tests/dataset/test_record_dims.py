"""Shapes, types and offsets of ``record_dims``, as DLIO's own tests demand them, by others' eyes.

Source: ``tests/dlio_dataset_dimension_test.py`` of dlio_benchmark, 2025 and later.
"""

from __future__ import annotations

import math

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tfrecord.reader import tfrecord_loader

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.workload.resolve import Request, resolve

TYPES = ("float32", "int8", "float16")
DIMS = ((7, 3), (2, 9, 4), (3, 1, 5, 2))
FILES = 8


@pytest.fixture
def generated(root):
    """Return a function that generates a data set and returns its training files."""

    def make(name, dims, element_type, more=""):
        params = (
            f"dataset.format={name} dataset.num_files_train={FILES} dataset.record_dims={dims} "
            f"dataset.record_element_type={element_type} reader.batch_size=1 "
            f"dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 {more}"
        )
        workload = resolve(Request(params=params.replace(", ", ","))).workload
        location = prepare(workload, root, NoProgress(), lambda _line: None).location
        paths = sorted(location.path.glob(f"train/*.{name}"))
        assert len(paths) == FILES
        return paths

    return make


def every(test):
    """Run `test` for every type and every number of dimensions."""
    with_types = pytest.mark.parametrize("element_type", TYPES)(test)
    return pytest.mark.parametrize("dims", DIMS, ids=len)(with_types)


@pytest.mark.parametrize("name", ["npz", "npy"])
@every
def test_arrays_have_the_samples_last(generated, name, dims, element_type):
    for path in generated(name, list(dims), element_type):
        array = np.load(path)["x"] if name == "npz" else np.load(path)
        assert array.shape == (*dims, 1)
        assert array.dtype == np.dtype(element_type)


@every
def test_hdf5_has_as_many_datasets_as_asked_for(generated, dims, element_type):
    wanted = "dataset.hdf5.num_dset_per_record=3"
    for path in generated("hdf5", [3, *dims], element_type, wanted):
        with h5py.File(path) as file:
            names = sorted(set(file) - {"labels"})
            assert names == ["records_0", "records_1", "records_2"]
            assert [file[name].shape for name in names] == [(1, *dims)] * 3
            assert {file[name].dtype for name in names} == {np.dtype(element_type)}


@every
def test_the_image_of_a_tfrecord_has_the_sample_s_size(generated, dims, element_type):
    for path in generated("tfrecord", list(dims), element_type):
        (example,) = tfrecord_loader(str(path), None, {"image": "byte"})
        assert len(example["image"]) == math.prod(dims) * np.dtype(element_type).itemsize


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("name", ["indexed_binary", "mmap_indexed_binary"])
@every
def test_offsets_and_sizes_find_every_sample(generated, name, dims, element_type, samples):
    size_bytes = math.prod(dims) * np.dtype(element_type).itemsize
    wanted = f"dataset.num_samples_per_file={samples}"
    for path in generated(name, list(dims), element_type, wanted):
        offsets, sizes = (np.fromfile(f"{path}.{kind}.idx", np.int64) for kind in ("off", "sz"))
        assert offsets.tolist() == [number * size_bytes for number in range(samples)]
        assert sizes.tolist() == [size_bytes] * samples
        assert path.stat().st_size == samples * size_bytes


@pytest.mark.parametrize("element_type", TYPES)
@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_images_have_rows_and_columns_of_bytes(generated, name, element_type):
    for path in generated(name, [7, 30], element_type):
        with Image.open(path) as image:
            assert image.size == (30, 7)
            assert image.mode == "L"
            assert image.format == name.upper()


@every
def test_a_row_of_a_csv_has_all_elements_of_a_sample(generated, dims, element_type):
    for path in generated("csv", list(dims), element_type):
        assert len(pd.read_csv(path, header=None).iloc[0]) == math.prod(dims)
