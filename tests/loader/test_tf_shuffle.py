"""The shuffle of ``tf.data``, against what TensorFlow 2.21 gave; tests/dlio compares them live."""

from __future__ import annotations

import hashlib
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.loader.tf_shuffle import iteration_seeds, random_words, shuffled

FEW = [
    (10, 4, 123, [[0, 4, 3, 1, 6, 7, 9, 2, 8, 5], [1, 0, 4, 2, 5, 6, 3, 9, 8, 7]]),
    (10, 100, 123, [[0, 1, 7, 4, 8, 3, 9, 6, 5, 2], [5, 8, 1, 3, 9, 0, 6, 4, 2, 7]]),
    (7, 1, 5, [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]]),
    (12, 5, 0, [[2, 1, 5, 0, 7, 6, 10, 4, 3, 9, 8, 11], [4, 3, 6, 2, 5, 1, 9, 11, 7, 8, 10, 0]]),
    (12, 12, 2**31 - 1, [[0, 2, 10, 5, 9, 8, 4, 7, 1, 6, 3, 11]]),
    (12, 3, 2**31 + 6, [[1, 2, 0, 3, 6, 4, 8, 5, 9, 10, 7, 11]]),
]
MANY = [
    (5000, 1024, 42, ["a358745af73e29bf", "1f81d151801c30fa", "002b8fddd0b05b2b"]),
    (3000, 3000, 987654321, ["5c1bf3e7f27d080b", "ba1dc49d8b42c6fa", "b57c0301d8a6ca0d"]),
]


def order(size, buffer_size, seed, iteration):
    return list(shuffled(range(size), buffer_size, iteration_seeds(seed, iteration)))


@pytest.mark.parametrize(("size", "buffer_size", "seed", "expected"), FEW)
def test_a_shuffle_is_that_of_tensorflow(size, buffer_size, seed, expected):
    found = [order(size, buffer_size, seed, iteration) for iteration in range(len(expected))]
    assert found == expected


@pytest.mark.parametrize(("size", "buffer_size", "seed", "expected"), MANY)
def test_a_long_shuffle_is_that_of_tensorflow(size, buffer_size, seed, expected):
    found = [repr(order(size, buffer_size, seed, number)).encode() for number in range(3)]
    assert [hashlib.sha256(text).hexdigest()[:16] for text in found] == expected


def test_the_generator_gives_the_published_words_of_philox():
    assert list(islice(random_words(0, 0), 4)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@given(
    size=st.integers(0, 300),
    buffer_size=st.integers(1, 400),
    seed=st.integers(0, 2**64),
    iteration=st.integers(0, 9),
)
def test_every_number_comes_once_and_none_too_early(size, buffer_size, seed, iteration):
    found = order(size, buffer_size, seed, iteration)
    assert sorted(found) == list(range(size))
    assert all(number - place < buffer_size for place, number in enumerate(found))
