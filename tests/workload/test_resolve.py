"""From a request to a checked workload, and its file."""

from __future__ import annotations

import json

import pytest

from cm4storage.core.errors import UserError
from cm4storage.workload import resolve, stock
from cm4storage.workload.explain import explain
from cm4storage.workload.plan import Plan
from cm4storage.workload.resolve import Request
from cm4storage.workload.resolved import load

TRAINED = [name for name in stock.names() if explain(Request(model=name)).workload.workflow.train]


@pytest.mark.parametrize("name", stock.names())
@pytest.mark.parametrize("scale", ["quick", "stock"])
def test_every_stock_workload_resolves_without_unknown_keys(name, scale):
    explained = explain(Request(model=name, scale=scale))
    assert not explained.problems
    assert not [note for note in explained.notes if "unknown" in note]
    assert explained.workload.accelerator == stock.accelerator_in(name)


@pytest.mark.parametrize("name", TRAINED)
def test_quick_is_small_and_keeps_the_shape(name):
    full = resolve.resolve(Request(model=name)).workload
    quick = resolve.resolve(Request(model=name, scale="quick")).workload
    assert Plan.of(quick).payload_bytes() < 160 * 2**20
    assert quick.reader == full.reader
    assert quick.computation_time == full.computation_time
    assert quick.dataset.format == full.dataset.format
    assert quick.steps_per_epoch() >= 7
    assert quick.train.epochs * quick.steps_per_epoch() * quick.computation_time.mean_s < 60


@pytest.mark.parametrize("time_s", ["0", "5e-324", "1e-300"])
def test_quick_takes_steps_of_any_length(time_s, tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(f"dataset:\n  num_files_train: 100\ntrain:\n  computation_time: {time_s}\n")
    quick = resolve.resolve(Request(model="", config=path, scale="quick")).workload
    assert quick.steps_per_epoch() > 0


def test_overrides_win_over_the_quick_scale():
    request = Request(scale="quick", params="dataset.num_files_train=12 train.epochs=4")
    workload = resolve.resolve(request).workload
    assert (workload.dataset.num_files_train, workload.train.epochs) == (12, 4)


def test_an_epoch_that_no_formula_measures_is_said_beforehand():
    (note,) = (n for n in resolve.resolve(Request(params="dataset.num_files_train=12")).notes
               if "no accelerator utilization" in n)  # fmt: skip
    assert note.startswith("an epoch has 1 step, and the formulas leave 1 out")


def test_a_stock_model_and_a_file_exclude_each_other(tmp_path):
    path = tmp_path / "own_h100_s3.yaml"
    path.write_text("dataset: {format: npz}")
    assert resolve.resolve(Request(config=path)).workload.accelerator == "h100"
    with pytest.raises(UserError, match="a workload file and resnet50 exclude each other"):
        resolve.resolve(Request(config=path, model="resnet50"))


def test_a_billion_files_are_described_at_once():
    request = Request(params="dataset.num_files_train=1e9")
    assert Plan.of(resolve.resolve(request).workload).payload_bytes() > 1e17


def test_seed_takes_the_place_of_the_yaml():
    assert resolve.resolve(Request(seed=7)).workload.train.seed == 7


def test_unknown_stock_workload_names_what_there_is():
    with pytest.raises(UserError, match="no stock workload unet4d"):
        resolve.resolve(Request(model="unet4d"))
    with pytest.raises(UserError, match="bert exists as: bert_v100"):
        resolve.resolve(Request(model="bert", accelerator="h100"))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("dataset.format=hdf4", "hdf4 is not supported by this version"),
        ("dataset.compression=zstd", "cannot be compressed by zstd"),
        ("dataset.record_dims=[70000000,70000000]", "too large"),
        ("checkpoint.num_checkpoints_write=2 checkpoint.num_checkpoints_read=3", "3 cannot be"),
        ("dataset.num_files_train=3", "3 samples make no batch of 7"),
        ("train.total_training_steps=0", "no batch"),
        ("dataset.file_prefix=a/b", "cannot be part of a file's name"),
        (r"dataset.file_prefix='a\\b'", "cannot be part of a file's name"),
        ("dataset.file_prefix='\"a\\x00b\"'", "cannot be part of a file's name"),
        (f"dataset.file_prefix={'a' * 300}", "180 bytes at most"),
        ("dataset.format=tfrecord dataset.record_length_bytes=2147483648", "too large"),
    ],
)
def test_combinations_that_cannot_work(params, message):
    with pytest.raises(UserError, match=message):
        resolve.resolve(Request(params=params))


def test_file_round_trip_gives_an_equal_workload(tmp_path):
    made = resolve.resolve(Request(params="train.computation_time='{mean: 0.3, stdev: 0.1}'"))
    made.save(tmp_path / "workload.json")
    read = load(tmp_path / "workload.json")
    assert read == made
    assert read.workload.digest() == made.workload.digest()


def test_damaged_changed_and_newer_files_are_refused(tmp_path):
    path = tmp_path / "workload.json"
    resolve.resolve(Request()).save(path)
    document = json.loads(path.read_text())
    for change, message in (
        ({"version": 99}, "version 99"),
        ({"schema": "other"}, "no workload file"),
        ({"accelerator": "a100"}, "changed after it was made"),
        ({"settings": {"nothing": 1}}, "damaged"),
    ):
        path.write_text(json.dumps(document | change))
        with pytest.raises(UserError, match=message):
            load(path)
    path.write_text("{")
    with pytest.raises(UserError, match="no workload file"):
        load(path)


def test_metric_au_may_be_a_percentage():
    for value in ("0.9", "90"):
        workload = resolve.resolve(Request(params=f"metric.au={value}")).workload
        assert workload.au_threshold == pytest.approx(0.9)
