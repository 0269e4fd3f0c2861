"""A node with bare cmind, made ready by ``cm bootstrap``, runs the job with no network at all."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from building import make_environment

if TYPE_CHECKING:
    from pathlib import Path

    from building import Environment

SMALL = "dataset.num_files_train=7 dataset.record_length=65536 train.computation_time=0.01"
JOB = ("--tags=run,dlio,mlperf", f"--params={SMALL}", "--max_epochs=1", "--quiet")
NO_NETWORK = ("unshare", "--net", "env", "-u", "PIP_FIND_LINKS")


def can_cut_the_network() -> bool:
    try:
        done = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture
def node(tmp_path: Path, wheels: Path, source: Path) -> Environment:
    """Return an environment with cmind alone, on which the project's source is registered."""
    made = make_environment(tmp_path / "node", wheels, "cmind")
    made.run("cm", "init", "repo", f"--path={source}")
    return made


@pytest.mark.install
@pytest.mark.skipif(not can_cut_the_network(), reason="the network cannot be cut off here")
def test_job_runs_with_the_network_cut_off(node: Environment, tmp_path: Path) -> None:
    doctor = node.run("cm", "doctor", "cm4storage")
    assert "warning  packages" in doctor
    assert "make it now: cm bootstrap cm4storage\n" in doctor
    said = node.run("cm", "bootstrap", "cm4storage")
    assert "this node is ready" in said
    assert "in a virtual environment of the CM cache" in said
    (tmp_path / "work").mkdir()
    said = node.run(*NO_NETWORK, "cm", "run", "script", *JOB, cwd=tmp_path / "work")
    assert "get-python-venv" in said
    assert "hit: " in said
    assert len(list(tmp_path.glob("work/results/training/unet3d/run/*/summary.json"))) == 1


@pytest.mark.install
def test_doctor_of_an_installed_wheel(installed: Environment) -> None:
    said = installed.run("cm", "doctor", "cm4storage")
    repository = installed.site_packages / "cm4storage" / "repo"
    assert f"cm4storage: {repository} (installed package)" in said
    assert f"{repository}/automation/script\n" in said
