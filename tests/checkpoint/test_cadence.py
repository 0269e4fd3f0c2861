"""When checkpoints are due."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cm4storage.checkpoint.cadence import Cadence, Due

POSITIVE = st.integers(1, 30)


def due(cadence, numbers):
    teller = Due(cadence)
    return [number for number in numbers if teller.is_due(number)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (range(1, 31), [10, 20, 30]),
        ([5, 15, 16, 19, 20, 30], [15, 20, 30]),  # 10 was missed
        ([10, 15, 20], [10, 20]),
        ([35, 36, 40], [35, 40]),  # three were missed, and are caught up once
        ([1, 2, 9], []),
    ],
)
def test_first_at_the_interval_and_caught_up_once(asked, expected):
    assert due(Cadence(10, 10), asked) == expected


def test_dlios_epochs_begin_where_they_are_told_to():
    assert due(Cadence(5, 2), range(1, 11)) == [5, 7, 9]
    assert due(Cadence(5, 0), range(1, 11)) == [5]
    assert due(Cadence(0, 0), range(1, 11)) == []


@given(POSITIVE, POSITIVE, st.integers(1, 200))
def test_nothing_missed_is_the_plain_rule(first, every, last):
    expected = [n for n in range(1, last + 1) if n >= first and (n - first) % every == 0]
    assert due(Cadence(first, every), range(1, last + 1)) == expected


@given(POSITIVE, st.sets(st.integers(1, 300), min_size=1))
def test_each_stretch_of_an_interval_has_one_at_its_first_number(interval, asked):
    numbers = sorted(asked)
    first_of = {}
    for number in numbers:
        if number >= interval:
            first_of.setdefault(number // interval, number)
    assert due(Cadence(interval, interval), numbers) == list(first_of.values())
