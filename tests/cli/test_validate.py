"""``cm4storage validate``: what it says of right and wrong workloads."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

BAD = """\
model: tiny
framework: pytorch
dataset: {format: npz, num_files_train: 16, record_length: 262144, record_lenght: 4}
reader: {batch_size: many, data_loader: pytorch, read_thread: 2, sample_shuffle: off}
train: {epochs: 2, computation_time: 0.02, seed: -3}
workflow: {do_eval: true, train: true}
"""
GOOD = """\
model: tiny
framework: pytorch
dataset: {format: npz, num_files_train: 16, record_length: 262144}
reader: {data_loader: pytorch, batch_size: 4, read_threads: 2}
train: {epochs: 2, computation_time: 0.02}
workflow: {train: true}
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes ``tiny.yaml``."""

    def make(text):
        (tmp_path / "tiny.yaml").write_text(text)

    return make


def test_all_that_is_wrong_is_listed(cm4storage, write):
    write(BAD)
    done = cm4storage("validate", "tiny.yaml", "--params=train.epochs=0 no.key=4")
    assert done.returncode == 1
    for text in (
        "dialect  DLIO 2.0.0 (PyPI, 2024): dataset.record_length, model",
        "reader.batch_size: expected a whole number, got 'many'\n    where: tiny.yaml, line 4",
        "train.seed: must be at least 0, got -3\n    where: tiny.yaml, line 5",
        "train.epochs: must be at least 1, got 0\n    where: --params train.epochs=0",
        "there is no key no.key",
        "dataset.record_lenght: unknown key, ignored; did you mean dataset.record_length?",
        "reader.read_thread: unknown key, ignored; did you mean reader.read_threads?",
        "workflow.do_eval: DLIO itself ignores this key",
        "reader.sample_shuffle: off without quotes is false in YAML",
    ):
        assert text in done.stdout
    assert done.stdout.endswith("4 errors\n")


def test_values_come_with_their_places_and_the_needs_of_a_run(cm4storage, write):
    write(GOOD)
    done = cm4storage("validate", "tiny.yaml", "--params=reader.read_threads=4")
    assert done.returncode == 0, done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "dataset.record_length_bytes 262144 tiny.yaml:3",
        "reader.read_threads 4 override",
        "data set 4.0 MiB on the storage",
        "reads 4.0 MiB in each of 2 epochs, 8.0 MiB in all",
        "memory 3.0 MiB for batches",
        "least time 160.0 ms, for 8 steps of computation",
        "no errors",
    ):
        assert line in lines
    assert not any(line.endswith(" default") for line in lines)
    everything = cm4storage("validate", "tiny.yaml", "--all").stdout
    assert any(line.endswith(" default") for line in everything.splitlines())


def test_scale_and_seed_are_origins_too(cm4storage):
    done = cm4storage("validate", "unet3d_h100", "--scale=quick", "--seed=7", "--json")
    document = json.loads(done.stdout)
    values = document["values"]
    assert values["dataset.num_files_train"]["from"] == "quick"
    assert values["train.seed"] == {"value": 7, "from": "seed", "place": ""}
    assert values["train.computation_time"]["place"] == "stock unet3d_h100.yaml, line 5"
    assert values["reader.read_threads"]["place"] == "stock base/unet3d.yaml, line 25"
    assert document["needs"]["epochs"] == 2
    assert document["dialect"]["name"] == "DLIO sources of 2026"


def test_the_needs_are_those_of_the_data_set_that_is_made(cm4storage, write, tmp_path):
    write(GOOD)
    needs = json.loads(cm4storage("validate", "tiny.yaml", "--json").stdout)["needs"]
    cm4storage("workload", "--config=tiny.yaml", "--out=w.json")
    cm4storage("generate", "--workload=w.json", "--data_dir=data", "--result_file=made.json")
    assert (
        needs["data_set_bytes"] == json.loads((tmp_path / "made.json").read_text())["total_bytes"]
    )
    cm4storage("run", "--workload=w.json", "--data_dir=data", "--result_file=run.json")
    folder = tmp_path / json.loads((tmp_path / "run.json").read_text())["run_dir"]
    record = json.loads((folder / "run.json").read_text())
    read = sum(epoch["bytes_read"] for epoch in record["epochs"])
    assert needs["read_bytes"] == pytest.approx(read, rel=0.01)


def test_a_name_may_be_in_a_folder_of_the_user(cm4storage, tmp_path):
    (tmp_path / "conf" / "workload").mkdir(parents=True)
    (tmp_path / "conf" / "workload" / "mine.yaml").write_text(GOOD)
    done = cm4storage("validate", "mine", "--config-dir=conf")
    assert done.returncode == 0, done.stderr
    assert "from conf/workload/mine.yaml" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.yaml", "no workload file none.yaml"), ("unet4d", "no stock workload unet4d")],
)
def test_what_is_not_there_is_said(cm4storage, name, message):
    done = cm4storage("validate", name)
    assert done.returncode == 1
    assert message in done.stderr


def test_checkpoints_alone_are_no_error(cm4storage):
    done = cm4storage("validate", "llama3_70b")
    assert done.returncode == 0
    assert "a run of one rank" not in done.stdout
    assert "a run of 64 ranks" in done.stdout
    assert "911.2 GiB in 128 files: model 130.2 GiB, optimizer 781.0 GiB" in done.stdout
    assert "10 checkpoints, 8.9 TiB on the storage" in done.stdout
    needs = json.loads(cm4storage("validate", "llama3_70b", "--json").stdout)["needs"]
    assert (needs["ranks"], needs["writes"], needs["reads"]) == (64, 10, 10)


def test_a_model_that_cannot_be_spread_is_an_error(cm4storage):
    done = cm4storage("validate", "llama3_405b", "--params=model.parallelism.zero_stage=3")
    assert done.returncode == 1
    assert "zero_stage: 3 and pipeline parallelism exclude each other" in done.stdout
    assert "1 error" in done.stdout


def test_a_terminal_gets_a_drawn_table(tmp_path, write):
    write(GOOD)
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "cm4storage", "validate", "tiny.yaml"]
    env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    subprocess.run(command, stdout=follower, cwd=tmp_path, env=env, check=True)
    os.close(follower)
    shown = os.read(leader, 10**6).decode()
    os.close(leader)
    assert "\x1b[1m" in shown
    assert "reader.batch_size" in shown


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("framework=pytorch", "rising order"),
        ("framework=pytorch reader.sample_shuffle=seed", "only DLIO 2.0.0 of 2024"),
        ("framework=tensorflow", "one of each thread in turn"),
        ("framework=tensorflow dataset.format=tfrecord", "interleave and shuffle"),
    ],
)
def test_it_says_what_the_order_of_dlio_is(cm4storage, more, expected):
    params = f"dataset.format=npz dataset.num_files_train=8 reader.order=dlio {more}"
    done = cm4storage("validate", "unet3d_h100", f"--params={params}")
    assert "reader.order" in done.stdout
    assert expected in " ".join(done.stdout.split())
