"""Names, shapes and permutations, computed and never listed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.workload import plan as plans
from cm4storage.workload.permutation import Permutation
from cm4storage.workload.plan import Plan, Split
from cm4storage.workload.sections import DatasetSection


def dlio_shapes(length, stdev, files):
    """Return the shapes as dlio_benchmark draws them: all at once, from seed 10."""
    np.random.seed(10)
    side = int(np.sqrt(length))
    draws = np.random.normal(side, stdev / 2.0 / np.sqrt(length), 2 * files)
    return [(max(int(draws[2 * i]), 1), max(int(draws[2 * i + 1]), 1)) for i in range(files)]


@pytest.mark.parametrize("draws_at_once", [1, 7, 65536])
def test_shapes_are_those_that_dlio_draws(monkeypatch, draws_at_once):
    monkeypatch.setattr(plans, "_DRAWS_AT_ONCE", draws_at_once)
    dataset = DatasetSection(
        format="npz",
        num_files_train=20,
        num_files_eval=3,
        record_length_bytes=146600628,
        record_length_bytes_stdev=68341808,
    )
    shapes = [file.record_shape for file in Plan(dataset).files()]
    assert shapes == dlio_shapes(146600628, 68341808, 23)


def test_files_come_in_the_order_of_keys_with_the_shapes_of_their_numbers():
    dataset = DatasetSection(
        num_files_train=25,
        num_files_eval=7,
        num_subfolders_train=12,
        num_subfolders_eval=3,
        record_length_bytes=10000,
        record_length_bytes_stdev=4000,
    )
    files = list(Plan(dataset).files())
    assert [file.key for file in files] == sorted(file.key for file in files)
    shapes = dlio_shapes(10000, 4000, 32)
    for file in files:
        number = file.index if file.split is Split.TRAIN else 25 + file.index
        assert file.record_shape == shapes[number]


def test_constant_size_is_a_square():
    (file,) = Plan(DatasetSection(num_files_train=1, record_length_bytes=8 * 2**20)).files()
    assert file.record_shape == (2896, 2896)


@pytest.mark.parametrize(
    ("count", "folders", "index", "key"),
    [
        (8, 0, 3, "train/img_3_of_8.npz"),
        (168, 0, 7, "train/img_007_of_168.npz"),
        (168, 1, 7, "train/img_007_of_168.npz"),
        (100, 4, 7, "train/3/img_007_of_100.npz"),
        (100, 12, 7, "train/07/img_007_of_100.npz"),
    ],
)
def test_names(count, folders, index, key):
    dataset = DatasetSection(format="npz", num_files_train=count, num_subfolders_train=folders)
    assert Plan(dataset).key(Split.TRAIN, index) == key


def test_payload_is_the_sum_of_all_samples():
    dataset = DatasetSection(
        num_files_train=9,
        num_files_eval=2,
        num_samples_per_file=3,
        record_length_bytes=1000,
        record_length_bytes_stdev=200,
    )
    plan = Plan(dataset)
    assert plan.payload_bytes() == sum(3 * math.prod(file.record_shape) for file in plan.files())


@given(st.integers(1, 500), st.integers(0, 2**64))
def test_a_permutation_is_a_bijection(size, key):
    permutation = Permutation(size, key)
    assert sorted(permutation(i) for i in range(size)) == list(range(size))


def test_permutations_differ_by_key_and_stay_the_same_forever():
    orders = {tuple(map(Permutation(1000, 123, epoch), range(1000))) for epoch in range(20)}
    assert len(orders) == 20
    assert [Permutation(10, 1, 123, 1)(i) for i in range(10)] == [5, 4, 0, 6, 8, 7, 3, 1, 9, 2]


def test_a_permutation_spreads_evenly():
    """Each of 16 positions gets each of 16 items about equally often over 3,200 keys."""
    counts = np.zeros((16, 16))
    for key in range(3200):
        permutation = Permutation(16, key)
        for position in range(16):
            counts[position, permutation(position)] += 1
    chi_square = ((counts - 200) ** 2 / 200).sum()
    assert chi_square < 330  # 225 degrees of freedom: the 99.999 % quantile is 324


def test_an_index_outside_is_refused():
    with pytest.raises(IndexError, match="5 is not below 5"):
        Permutation(5, 1)(5)


def test_a_million_files_take_no_memory_of_their_own():
    files = Plan(DatasetSection(num_files_train=10**6, record_length_bytes_stdev=100)).files()
    assert sum(1 for _ in itertools.islice(files, 100_000)) == 100_000
