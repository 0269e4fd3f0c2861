"""A folder of results as MLPerf Storage's checkers read it.

What they read is tested here; with ``CM4STORAGE_MLPSTORAGE``, the folder of a checkout of
mlcommons/storage of the v2.0 round, that program judges the same folder itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

import cm4storage
from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.core.progress import NoProgress
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.storage.location import StoreLocation

CHECKOUT = os.environ.get("CM4STORAGE_MLPSTORAGE")

TRAINING = (
    "dataset.num_files_train=4 dataset.record_length_bytes=5000 reader.batch_size=2 "
    "train.computation_time=0.001 train.epochs=2"
)
CHECKPOINTS = (
    "model.num_layers=1 model.transformer.hidden_size=64 model.transformer.ffn_hidden_size=96 "
    "model.transformer.vocab_size=128 model.transformer.num_attention_heads=4 "
    "model.transformer.num_kv_heads=2 checkpoint.num_checkpoints_write=2 "
    "checkpoint.num_checkpoints_read=1 checkpoint.time_between_checkpoints=0"
)
REPORTGEN = """
import sys
from mlpstorage.reporting import ReportGenerator
sys.exit(int(ReportGenerator(sys.argv[1]).generate_reports()))
"""


def train(folder, name, source="unet3d_h100", params=""):
    """Run a training and save it under `name`."""
    workload = cm4storage.load_workload(source, f"{TRAINING} {params}", scale="quick")
    return cm4storage.run(workload, data_dir=folder / "data").save(
        folder / "results" / "training" / workload.workload.model.name / "run" / name
    )


def write_checkpoints(folder, model="llama3_8b", params=""):
    """Write checkpoints of a small model, and save their run."""
    resolved = cm4storage.load_workload(model, f"{CHECKPOINTS} {params}")
    place = StoreLocation.parse(str(folder / "checkpoints"))
    record = run_checkpoints(CheckpointJob(resolved, place, 2, "the command"), NoProgress())
    target = folder / "results" / "checkpointing" / resolved.workload.model.name / "20260101_000000"
    target.mkdir(parents=True)
    write_checkpoint_files(of_checkpoint_run(record), target)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with results of runs of all kinds."""
    folder = tmp_path_factory.mktemp("mlperf")
    for second in range(2):
        train(folder, f"20260101_00000{second}")
    train(folder, "20260101_000005", params="dataset.num_files_train=2")
    own = folder / "own.yaml"
    own.write_text("model: {name: unet3d}\nframework: pytorch\ndataset: {format: npz}\n")
    train(folder, "20260101_000006", own)
    train(folder, "20260101_000000", "bert_v100", "dataset.num_samples_per_file=4")
    write_checkpoints(folder)
    write_checkpoints(folder, "llama_7b")
    return folder


def metadata_of(run):
    """Return the document of the runner, strictly read."""
    [path] = run.glob("*_metadata.json")
    assert re.fullmatch(r"(training|checkpointing)_\d{8}_\d{6}_metadata.json", path.name)
    return json.loads(path.read_text(), parse_constant=pytest.fail)


def judged(folder):
    """Return the folders that a checker judges: those with a document of the runner."""
    return sorted(path.parent for path in (folder / "results").rglob("*_metadata.json"))


def test_only_runs_of_its_workloads_are_put_before_a_checker(folder):
    """It stops at a training without an accelerator and at a model that it does not know."""
    names = {(run.parents[1].name, run.parent.name, run.name) for run in judged(folder)}
    assert names == {
        *(("unet3d", "run", f"20260101_00000{second}") for second in (0, 1, 5)),
        ("checkpointing", "llama_8b", "20260101_000000"),
    }


def test_each_run_tells_its_workload_and_what_was_changed(folder):
    for run in judged(folder):
        config = yaml.safe_load((run / "dlio_config" / "config.yaml").read_text())["workload"]
        workload, *changes = yaml.safe_load((run / "dlio_config" / "overrides.yaml").read_text())
        assert re.fullmatch(r"workload=(unet3d_h100|llama_8b)", workload)
        assert all(each.startswith("++workload.") and each.count("=") == 1 for each in changes)
        assert config["workflow"]["train"] is not config["workflow"]["checkpoint"]
        for section, key in (
            ("model", "name"), ("dataset", "num_files_train"), ("dataset", "record_length_bytes"),
            ("dataset", "num_samples_per_file"), ("reader", "batch_size"),
            ("checkpoint", "num_checkpoints_read"), ("checkpoint", "num_checkpoints_write"),
        ):  # fmt: skip
            assert key in config[section]


def test_an_epoch_of_one_step_counts_as_zero(folder):
    """A checker formats what is in the lists as numbers; the report says that there is none."""
    run = folder / "results" / "training" / "unet3d" / "run" / "20260101_000005"
    metric = json.loads((run / "summary.json").read_text(), parse_constant=pytest.fail)["metric"]
    for name in ("train_au_percentage", "train_throughput_samples_per_second"):
        assert metric[name] == [0, 0]
    assert metric["train_au_mean_percentage"] == metric["train_io_mean_MB_per_second"] == 0
    assert metric["train_au_meet_expectation"] == "fail"
    epoch = json.loads((run / "0_output.json").read_text())["1"]
    assert epoch["au"] == epoch["throughput"] == {"block1": 0}
    report = json.loads((run / "report.json").read_text())
    assert report["au_mean_percent"] is None
    assert report["epochs"][0]["samples_per_s"] is None


def test_a_run_of_checkpoints_has_the_names_of_the_runner(folder):
    [run] = [each for each in judged(folder) if each.parent.name == "llama_8b"]
    document = metadata_of(run)
    assert (document["benchmark_type"], document["num_processes"]) == ("checkpointing", 2)
    assert document["args"]["checkpoint_folder"] == (folder / "checkpoints").as_uri()
    assert document["model"] == document["args"]["model"] == "llama3-8b"
    assert document["args"]["num_checkpoints_write"] == 2
    assert document["args"]["num_checkpoints_read"] == 1
    for rank in range(2):
        stats = json.loads((run / f"{rank}_per_epoch_stats.json").read_text())["1"]
        blocks = {name: each for name, each in stats.items() if name.startswith(("save", "load"))}
        assert set(blocks) == {"save_ckpt1", "save_ckpt2", "load_ckpt1"}
        for each in blocks.values():
            assert each["duration"] * each["throughput"] > 0
            for name in ("start", "end"):
                datetime.strptime(each[name], "%Y-%m-%dT%H:%M:%S.%f")  # noqa: DTZ007 - as they do


@pytest.mark.parametrize(("params", "mode"), [("", None), ("checkpoint.mode=subset", "subset")])
def test_the_mode_of_checkpoints_is_subset_or_not_there(tmp_path, params, mode):
    params += " model.parallelism.data=2" if mode else ""
    run = write_checkpoints(tmp_path, params=params)
    config = yaml.safe_load((run / "dlio_config" / "config.yaml").read_text())["workload"]
    assert config["checkpoint"].get("mode") == mode


def test_nobody_has_given_a_verdict(folder):
    """MLPerf Storage 3.0 takes a verdict that is there for text."""
    for run in judged(folder):
        document = metadata_of(run)
        assert "verification" not in document
        assert document["accelerator"] in ("h100", "")


@pytest.mark.skipif(not CHECKOUT, reason="CM4STORAGE_MLPSTORAGE names no checkout of v2.0")
def test_mlpstorage_judges_all_runs(folder):
    results = folder / "results"
    done = subprocess.run(
        [sys.executable, "-c", REPORTGEN, results], capture_output=True, text=True, check=False,
        cwd=folder, env=os.environ | {"PYTHONPATH": str(Path(CHECKOUT).absolute())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "failed with error" not in done.stdout
    found = json.loads((results / "results.json").read_text())
    assert sorted(each["run_id"] for each in found) == [str(run) for run in judged(folder)]
    unjust = re.compile(r"\[INVALID\] (?!Disallowed|Insufficient|Unet3D|Expected 10|Invalid runs)")
    assert not unjust.search(done.stdout)
    assert "Training - unet3d, Accelerator: h100" in done.stdout
    assert "Checkpointing - llama3-8b" in done.stdout
