"""Checkpoints by options of ``cm4storage run``, and by DLIO's own keys."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOADER = Path(__file__).parents[2] / "script/run-dlio-loader/run.sh"
MODEL = "model.model_size_bytes=50000"


def record_of(tmp_path):
    run = json.loads((tmp_path / "result.json").read_text())["run_dir"]
    return run, json.loads((tmp_path / run / "run.json").read_text())


@pytest.fixture
def run(cm4storage, workload_file):
    """Return a function that runs a small workload with more options."""
    common = [f"--workload={workload_file(MODEL)}", "--data_dir=data"]
    assert cm4storage("generate", *common).returncode == 0

    def call(*options):
        return cm4storage("run", *common, "--result_file=result.json", *options)

    return call


def test_options_say_when_how_and_where(run, cm4storage, tmp_path):
    done = run(
        "--checkpoint_steps=4", "--checkpoint_level=2", "--checkpoint_async", "--checkpoint_fsync",
        "--checkpoint_keep_last=1", "--checkpoint_dir=elsewhere",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder, record = record_of(tmp_path)
    assert [each["step"] for each in record["checkpoints"]] == [4, 8]
    options = record["conduct"]["plugin_options"]["checkpoint"]
    place = options.pop("location")
    assert place == f"file://{tmp_path}/elsewhere"
    assert f"2 checkpoints: {place}/unet3d-" in done.stderr
    assert options == {
        "steps_between_checkpoints": 4, "compression": "zstd", "compression_level": 2,
        "async": True, "fsync": True, "keep_last": 1, "checkpoint_dir": "elsewhere",
        "epochs_between_checkpoints": 2, "checkpoint_after_epoch": 2,
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "elsewhere").rglob("step_*")} == {
        "step_00000008.ckpt", "step_00000008.json",
    }  # fmt: skip
    shown = cm4storage("report", folder).stdout
    assert "checkpoints               2 with 97.7 KiB" in shown
    assert "plugin checkpoint was added" in shown


def test_checkpoints_that_fail_are_warned_of_or_stop_the_run(run, tmp_path):
    (tmp_path / "full").write_text("no folder")
    options = ["--checkpoint_epochs=1", "--checkpoint_dir=full"]
    done = run(*options)
    assert done.returncode == 3
    assert "error: plugin checkpoint: the checkpoint of step 5 failed" in done.stderr
    assert "to do:" in done.stderr
    assert not list((tmp_path / "results").rglob("run.json"))
    done = run(*options, "--checkpoint_on_error=warn")
    assert done.returncode == 0, done.stderr
    assert "warning: the checkpoint of step 5 failed" in done.stderr
    assert [each["key"] for each in record_of(tmp_path)[1]["checkpoints"]] == ["", ""]


def test_wrong_options_are_refused_before_anything_is_read(run):
    done = run("--checkpoint_compression=zstd", "--checkpoint_container=torch")
    assert done.returncode == 1
    assert "files for torch.load cannot be compressed" in done.stderr
    done = run("--checkpoint_level=30")
    assert "compression_level must be 1 to 22" in done.stderr


def test_who_asks_for_checkpoints_and_gets_none_is_told(run):
    done = run("--checkpoint_steps=1000", "-q")
    assert done.returncode == 0
    assert "warning: no checkpoint was due in the 10 steps of 2 epochs" in done.stderr


def test_the_plugin_may_be_named_by_its_class(cm4storage, tmp_path):
    (tmp_path / "own.yaml").write_text(
        """
model: {name: own, model_size_bytes: 5000}
dataset: {format: npz, num_files_train: 4, record_length_bytes: 2000}
train: {epochs: 1, computation_time: 0}
plugins: [{cm4storage.CheckpointPlugin: {steps_between_checkpoints: 2}}]
"""
    )
    common = ["--workload=w.json", "--data_dir=data"]
    assert cm4storage("workload", "--config=own.yaml", "--out=w.json").returncode == 0
    assert cm4storage("generate", *common).returncode == 0
    done = cm4storage("run", *common)
    assert done.returncode == 0, done.stderr
    assert f"2 checkpoints: file://{tmp_path}/data/checkpoints/own-" in done.stderr


def test_dlios_command_line_writes_them_where_dlio_does(cm4storage, tmp_path):
    words = [
        "workload=default", "++workload.workflow.generate_data=True",
        "++workload.workflow.checkpoint=True", "++workload.checkpoint.checkpoint_folder=ckpt/x",
        "++workload.checkpoint.epochs_between_checkpoints=2", "++workload.train.epochs=3",
        "++workload.dataset.num_files_train=2", "++workload.dataset.num_files_eval=0",
        "++workload.workflow.evaluation=False", "++workload.dataset.record_length_bytes=100",
        "++workload.train.computation_time=0", "++workload.dataset.num_samples_per_file=4",
        "++hydra.run.dir=out",
    ]  # fmt: skip
    done = cm4storage("dlio", *words)
    assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "ckpt" / "x").rglob("*.ckpt"))
    assert len(files) == 2
    stats = json.loads((tmp_path / "out" / "0_per_epoch_stats.json").read_text())
    assert [number for number in stats if "save_ckpt1" in stats[number]] == ["1", "3"]
    assert stats["3"]["save_ckpt1"]["throughput"] > 0


def test_validate_tells_of_cadences(cm4storage):
    base = ["validate", "unet3d_h100-v1.0", "--scale=stock"]
    shown = cm4storage(*base, "--params=train.epochs=4").stdout
    assert "no checkpoint: the first is due after epoch 5, and the last is epoch 4" in shown
    shown = cm4storage(*base, "--params=checkpoint.steps_between_checkpoints=10").stdout
    assert "DLIO counts steps anew in each epoch" in shown
    shown = cm4storage(*base, "--params=checkpoint.steps_between_checkpoints=0").stdout
    assert "neither steps nor epochs are followed by checkpoints" in shown
    assert "does not act on it" not in shown


def is_writing(process, place):
    """Tell whether a process has a file below `place` open, which need not have a name."""
    with contextlib.suppress(FileNotFoundError):  # a file is closed in this moment
        links = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
        return any(link.startswith(f"{place}/") for link in links)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_gives_a_checkpoint_in_the_background_up(
    cm4storage, workload_file, tmp_path, number
):
    # Long enough to be met in its middle: 300 MB at a level that takes its time.
    params = "model.model_size_bytes=300000000 train.computation_time=0.3"
    common = [f"--workload={workload_file(params)}", "--data_dir=data"]
    assert cm4storage("generate", *common).returncode == 0
    options = ["--checkpoint_steps=1", "--checkpoint_async", "--checkpoint_level=12"]
    command = [sys.executable, "-m", "cm4storage", "run", *common, *options]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        place, deadline = tmp_path / "data" / "checkpoints", time.monotonic() + 60
        while not is_writing(process.pid, place):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "no checkpoint is begun"
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143), said
    assert "Traceback" not in said
    assert [path for path in place.rglob("*") if path.is_file()] == []


def test_the_recipe_leaves_to_the_workload_what_nobody_chose(tmp_path):
    """Without _zstd, a workload's own compression stands."""
    launcher = tmp_path / "launcher.sh"
    launcher.write_text('printf "%s\\n" "$@"\n')
    names = ("WORKLOAD_FILE", "DATA_URI", "RESULTS_DIR", "CHECKPOINT_ASYNC", "CHECKPOINT_FSYNC")
    chosen = dict.fromkeys(names, "no") | {"LAUNCHER": str(launcher), "CHECKPOINT": "yes"}

    def flags(compression):
        variables = chosen | {"CHECKPOINT_COMPRESSION": compression}
        environment = {f"MLPERF_STORAGE_{name}": value for name, value in variables.items()}
        done = subprocess.run(
            ["bash", LOADER], env=os.environ | environment, check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        return [line for line in done.stdout.splitlines() if line.startswith("--checkpoint")]

    assert flags("") == ["--checkpoint"]
    assert flags("zstd") == ["--checkpoint", "--checkpoint_compression=zstd"]
