"""Orders that are given sample by sample: whatever they name, in whatever way, is handed over."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_jobs import folder_of, run

from cm4storage.loader.limits import Limits
from cm4storage.loader.plugins import Plugins

FORMATS = ("npz", "npy", "hdf5", "tfrecord", "indexed_binary")
PLAIN = (
    "reader.file_shuffle=off reader.sample_shuffle=off train.epochs=1 "
    "dataset.record_length_bytes=4096 dataset.record_length_bytes_stdev=0"
)


def rows_of(workload, root, ids=None):
    """Run, and return the outcome and all rows that were handed over."""
    rows = []

    class Keeper:
        def __init__(self, _workload):
            pass

        def __call__(self, batch, duration_s):
            del duration_s
            rows.extend(batch.copy())

    class Listed:
        def __init__(self, _workload):
            pass

        def ids(self, epoch):
            del epoch
            yield from ids

    folder_of(workload, root)
    plugins = Plugins(compute_step=Keeper, sampler=Listed if ids is not None else None)
    return run(workload, root, plugins=plugins), rows


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("threads", [1, 3])
def test_single_samples_of_files_with_several(small_workload, root, file_format, threads):
    params = f"{PLAIN} dataset.format={file_format} dataset.num_samples_per_file=4"
    workload = small_workload(f"{params} reader.read_threads={threads} dataset.num_files_train=3")
    _, expected = rows_of(workload, root)
    ids = [3, 6, 9, 2, 2, 11, 0, 5, 7, 7, 3, 8]
    _, got = rows_of(workload, root, ids)
    for number, row in zip(ids, got, strict=True):
        assert np.array_equal(row, expected[number]), number


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_list_of_samples_hangs_or_gets_other_rows(small_workload, root, data):
    files, per_file = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    batch = data.draw(st.integers(1, files * per_file))
    total = files * per_file
    ids = data.draw(st.lists(st.integers(0, total - 1), min_size=total, max_size=total))
    resize = data.draw(st.sampled_from([0, 100, 4096, 10000]))
    params = (
        f"{PLAIN} dataset.format={data.draw(st.sampled_from(FORMATS))} "
        f"dataset.num_samples_per_file={per_file} dataset.num_files_train={files} "
        f"reader.batch_size={batch} reader.read_threads={data.draw(st.integers(1, 4))} "
        f"reader.prefetch_size={data.draw(st.integers(0, 3))} "
        f"dataset.record_length_bytes_resize={resize}"
    )
    one_by_one = small_workload(f"{params} reader.batch_size=1")
    _, expected = rows_of(one_by_one, root)
    _, got = rows_of(small_workload(params), root, ids)
    assert len(got) == total // batch * batch
    for number, row in zip(ids, got, strict=False):
        assert np.array_equal(row, expected[number]), number


def test_the_digest_holds_for_all_samples_of_a_generator(small_workload, root):
    workload = small_workload(PLAIN)
    one, _ = rows_of(workload, root, [0, *range(1, 10)])
    other, _ = rows_of(workload, root, [1, 0, *range(2, 10)])
    assert one.first_sample_ids != other.first_sample_ids
    assert one.order_digest != other.order_digest


def test_the_digest_holds_for_the_orders_of_all_epochs_that_are_run(small_workload, root):
    class Orders:
        def __init__(self, *last):
            self.last = last

        def __call__(self, _workload):
            return self

        def ids(self, epoch):
            return range(10) if epoch == 1 else self.last

    workload = small_workload(f"{PLAIN} train.epochs=2")
    folder_of(workload, root)
    rising, falling = (
        Plugins(sampler=Orders(*range(10))),
        Plugins(sampler=Orders(*range(9, -1, -1))),
    )
    one, other = (run(workload, root, plugins=each) for each in (rising, falling))
    assert one.first_sample_ids == other.first_sample_ids
    assert one.order_digest != other.order_digest
    digests = [each.order_digest for each in other.epochs]
    assert digests[0] == one.epochs[0].order_digest == one.epochs[1].order_digest != digests[1]
    short = [run(workload, root, plugins=p, limits=Limits(max_epochs=1)) for p in (rising, falling)]
    assert short[0].order_digest == short[1].order_digest == digests[0]


@pytest.mark.timeout(60)
def test_a_sampler_may_go_on_for_ever(small_workload, root):
    class Endless:
        def __iter__(self):
            return itertools.cycle([0, 1, 2])

    outcome, rows = rows_of(small_workload(PLAIN), root, Endless())
    assert len(rows) == 10
    assert outcome.first_sample_ids == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def test_what_is_never_read_may_be_wrong(small_workload, root):
    workload = small_workload(f"{PLAIN} reader.batch_size=3 dataset.num_files_train=13")
    _, rows = rows_of(workload, root, [*range(12), -1])
    assert len(rows) == 12


@pytest.mark.parametrize("per_file", [1, 4])
def test_the_order_of_dlio_reads_each_file_once(small_workload, root, per_file):
    params = f"{PLAIN} dataset.format=tfrecord dataset.num_samples_per_file={per_file}"
    workload = small_workload(f"{params} reader.batch_size=2")
    own, rows = rows_of(workload, root)
    as_dlio = small_workload(f"{params} reader.batch_size=2 reader.order=dlio")
    outcome, same = rows_of(as_dlio, root)
    assert np.array_equal(rows, same)
    assert outcome.epochs[0].bytes_read == own.epochs[0].bytes_read
