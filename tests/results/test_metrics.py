"""The formulas, by hand and against published results."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.results.histogram import Histogram
from cm4storage.results.metrics import Spread, of_epoch
from cm4storage.results.records import EpochRecord
from cm4storage.workload.resolve import Request, resolve


def workload(params=""):
    return resolve(Request(params=f"reader.batch_size=4 {params}")).workload


def epoch(wait_s, compute_s, extra_s=0.0, bytes_read=2**20):
    return EpochRecord(
        1, "", "", sum(wait_s) + sum(compute_s) + extra_s, wait_s, compute_s, None, bytes_read, 0
    )


def test_au_and_throughput_leave_out_the_first_step():
    record = epoch([5.0, 0.1, 0.1, 0.3], [1.0, 1.0, 1.0, 1.0], extra_s=0.5)
    metrics = of_epoch(record, workload())
    total_s = 0.1 + 0.1 + 0.3 + 3.0 + 0.5
    assert metrics.au_fraction == pytest.approx(3.0 / total_s)
    assert metrics.samples_per_s == pytest.approx(3 / total_s * 4)
    assert metrics.measured_steps == 3


def test_steps_at_the_end_are_left_out_too():
    record = epoch([5.0, 0.1, 0.1, 9.0], [1.0, 1.0, 1.0, 1.0])
    params = "output.exclude_end_steps=1"
    assert of_epoch(record, workload(params)).au_fraction == pytest.approx(2.0 / 2.2)


@pytest.mark.parametrize("steps", [0, 1])
def test_no_step_in_the_window_is_no_figure(steps):
    metrics = of_epoch(epoch([0.1] * steps, [1.0] * steps, extra_s=1), workload())
    assert metrics.au_fraction is None
    assert metrics.samples_per_s is None


def test_without_computation_au_is_0_and_not_missing():
    assert of_epoch(epoch([0.1] * 3, [0.0] * 3), workload()).au_fraction == 0


def test_rates_come_from_bytes_really_read():
    metrics = of_epoch(epoch([0.0, 0.5], [1.0, 0.5], bytes_read=6 * 2**20), workload())
    assert metrics.read_mib_per_s == pytest.approx(3.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_spread_is_numpys(values):
    spread = Spread.of([*values, None])
    assert spread.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert spread.stdev == pytest.approx(np.std(values), rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(1e-8, 1e3), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_percentiles_are_at_most_a_bin_off(values, percent):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    right = sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]
    assert histogram.percentile_s(percent) == pytest.approx(right, rel=1 / 32)


@pytest.mark.parametrize("percent", ["50", "95", "99", "99.9"])
def test_a_percentile_is_of_the_nearest_rank_and_not_of_the_next(percent):
    for count in (*range(1, 200), *range(1000, 20_001, 1000)):
        # One short and one long value beside each other, so that the rank is seen.
        rank = math.ceil(Fraction(percent) * count / 100)
        histogram = Histogram()
        histogram.add_many(1.0, rank)
        histogram.add_many(1000.0, count - rank)
        assert histogram.percentile_s(float(percent)) < 2, count


@given(st.lists(st.lists(st.floats(0, 1e3), max_size=40), max_size=4))
def test_merging_is_counting_everything_and_survives_json(parts):
    whole, merged = Histogram(), Histogram()
    for part in parts:
        one = Histogram()
        for value in part:
            one.add(value)
            whole.add(value)
        merged.merge(Histogram.from_json(one.to_json()))
    assert (merged.bins, merged.count, merged.max_s) == (whole.bins, whole.count, whole.max_s)
    assert merged.total_s == pytest.approx(whole.total_s)


def test_nothing_at_all_is_less_than_anything():
    histogram = Histogram()
    for value in [0.0] * 50 + [1e-9] * 49 + [1.0]:
        histogram.add(value)
    assert histogram.percentile_s(50) == 0
    assert histogram.percentile_s(99) == pytest.approx(1e-9, rel=0.02)


def test_an_empty_histogram_has_no_percentile():
    assert Histogram().percentile_s(99) is None
