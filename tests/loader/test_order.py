"""A shuffle shuffles; a seed fixes it; without one the order is that of the numbers."""

from __future__ import annotations

import pytest

from cm4storage.loader.order import RunOrder


def ids(workload, epoch=1, *, entropy=1):
    order = RunOrder(workload, entropy).epoch(epoch)
    return list(order.ids(workload.total_samples))


def shuffled(file_mode, sample_mode, per_file=6, **more):
    extra = " ".join(f"{key}={value}" for key, value in more.items())
    return (
        f"reader.file_shuffle={file_mode} reader.sample_shuffle={sample_mode} "
        f"dataset.num_samples_per_file={per_file} {extra}"
    )


def test_off_reads_in_order(small_workload):
    assert ids(small_workload(shuffled("off", "off"))) == list(range(60))


@pytest.mark.parametrize(("files", "samples"), [("seed", "off"), ("off", "seed"), ("seed", "seed")])
def test_every_sample_comes_once_in_another_order(small_workload, files, samples):
    got = ids(small_workload(shuffled(files, samples)))
    assert sorted(got) == list(range(60))
    assert got != list(range(60))


def test_file_shuffle_keeps_files_together_and_sample_shuffle_keeps_files_in_order(small_workload):
    by_file = [i // 6 for i in ids(small_workload(shuffled("seed", "off")))]
    assert [by_file[k : k + 6] for k in range(0, 60, 6)] == [[f] * 6 for f in by_file[::6]]
    assert [i // 6 for i in ids(small_workload(shuffled("off", "seed")))] == [
        f for f in range(10) for _ in range(6)
    ]


def test_samples_are_shuffled_even_where_each_file_holds_one(small_workload):
    got = ids(small_workload(shuffled("off", "seed", per_file=1)))
    assert got != list(range(10))


def test_a_shuffle_buffer_limits_how_far_a_sample_moves(small_workload):
    params = shuffled("off", "seed", per_file=20) + " reader.shuffle_size=5"
    got = ids(small_workload(params))
    assert all(i // 5 == place // 5 for place, i in enumerate(got))


@pytest.mark.parametrize(("change", "same"), [("true", False), ("false", True)])
def test_seed_change_epoch(small_workload, change, same):
    workload = small_workload(shuffled("seed", "seed") + f" train.seed_change_epoch={change}")
    assert (ids(workload, 1) == ids(workload, 2)) is same


def test_seed_fixes_the_order_and_random_does_not(small_workload):
    seeded = small_workload(shuffled("seed", "seed"))
    assert ids(seeded, entropy=1) == ids(seeded, entropy=2)
    assert ids(seeded) != ids(small_workload(shuffled("seed", "seed") + " train.seed=1"))
    free = small_workload(shuffled("random", "random"))
    assert ids(free, entropy=1) != ids(free, entropy=2)


def test_the_digest_tells_orders_apart(small_workload):
    seeded = RunOrder(small_workload(shuffled("seed", "seed")))
    digests = {seeded.epoch(number).digest() for number in (1, 1, 2, 3)}
    assert len(digests) == 3
