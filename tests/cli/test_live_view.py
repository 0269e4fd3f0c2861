"""What a person sees while a command works, and what a program reads."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

EPOCH = re.compile(
    r"epoch [12]: 5 steps in .*, AU [\d.]+ %, [\d.,]+ MiB/s, wait P99 [\d.]+ \w+, 0 errors"
)


@pytest.fixture
def options(workload_file):
    return [f"--workload={workload_file('train.computation_time=0.002')}", "--data_dir=data"]


def on_a_terminal(folder, *words):
    """Run a command on a terminal of its own; return its exit code and what it drew."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cm4storage", *words], cwd=folder, env=env, stdin=theirs,
        stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    drawn = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how a terminal of Linux ends
            break
        if not part:
            break
        drawn += part
    os.close(ours)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())


def test_on_a_terminal_generation_and_training_are_followed(options, tmp_path):
    code, drawn = on_a_terminal(tmp_path, "generate", *options)
    assert code == 0, drawn
    assert "generating" in drawn
    assert "MiB/s" in drawn or "KiB/s" in drawn or "10/10 files" in drawn
    code, drawn = on_a_terminal(tmp_path, "run", *options)
    assert code == 0, drawn
    assert "10/10 steps" in drawn
    assert EPOCH.search(drawn), drawn


def test_elsewhere_there_is_a_line_for_each_epoch(cm4storage, options):
    cm4storage("generate", *options)
    done = cm4storage("run", *options)
    assert done.returncode == 0, done.stderr
    assert [line[:8] for line in done.stderr.splitlines() if EPOCH.fullmatch(line)] == [
        "epoch 1:", "epoch 2:",
    ]  # fmt: skip
    assert done.stdout == ""
    assert "\r" not in done.stderr


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_json_alone_on_standard_output(cm4storage, options, tmp_path, quiet):
    done = cm4storage("generate", *options, "--out=json", *quiet)
    made = json.loads(done.stdout)
    assert made["files"] == 10
    assert bool(done.stderr) is not bool(quiet)
    done = cm4storage("run", *options, "--out=json", "--result_file=r.json", *quiet)
    report = json.loads(done.stdout)
    assert report["schema"] == "cm4storage.report"
    assert bool(done.stderr) is not bool(quiet)
    folder = json.loads((tmp_path / "r.json").read_text())["run_dir"]
    done = cm4storage("report", folder, "--out=json", *quiet)
    assert json.loads(done.stdout) == report
    assert ("accelerator utilization" in done.stderr) is not bool(quiet)
    assert json.loads(done.stdout) == json.loads(
        (tmp_path / folder / "report.json").read_text(encoding="utf-8")
    )
