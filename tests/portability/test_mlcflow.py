"""The recipes under mlcflow: ``nox -s mlcr``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from foreign_engines import SMALL, summaries

if TYPE_CHECKING:
    from foreign_engines import Engine

pytestmark = [pytest.mark.oracle, pytest.mark.slow]


def test_workload_follows_its_inputs(mlcflow: Engine) -> None:
    # mlcflow's cache knows tags only: what depends on inputs must not be in it.
    said = mlcflow.output("mlcr", "get,dlio,workload", "--quiet")
    assert "70 npz files" in said
    said = mlcflow.output("mlcr", "get,dlio,workload", f"--params={SMALL}", "--quiet")
    assert "7 npz files" in said
    said = mlcflow.output("mlcr", "get,dlio,workload", "--quiet")
    assert "70 npz files" in said


def test_configuration_of_the_user(mlcflow: Engine) -> None:
    said = mlcflow.output("mlcr", "get,dlio,workload", "--config=own.yaml", "--quiet")
    assert "6 npz files" in said
    assert "note: --config takes the place of any stock model here" in said


@pytest.mark.parametrize("backend", ["file", "s3"])
def test_backend(mlcflow: Engine, backend: str) -> None:
    said = mlcflow.output("mlc", "run", "script", f"--tags=setup,storage,backend,_{backend}", "-q")
    assert f"storage {backend}://" in said
    assert "works" in said


def test_data_set_is_generated_once(mlcflow: Engine) -> None:
    words = ("mlcr", "generate,dlio,dataset", f"--params={SMALL}", "--quiet")
    assert "generating: done after" in mlcflow.output(*words)
    assert "hit: data set unet3d" in mlcflow.output(*words)


@pytest.mark.parametrize("tags", ["run,dlio,loader", "run,dlio,mlperf,_file"])
def test_job(mlcflow: Engine, tags: str) -> None:
    before = summaries(mlcflow)
    said = mlcflow.output("mlcr", tags, f"--params={SMALL}", "--max_epochs=1", "--quiet")
    assert "training: done after 1 steps" in said
    if "mlperf" in tags:
        [new] = [path for path in summaries(mlcflow) if path not in before]
        assert json.loads(new.read_text())
        assert "run again mlc run script --tags=run,dlio,mlperf" in said


def test_python_is_made_once_for_the_same_packages(mlcflow: Engine) -> None:
    mlcflow.output("mlcr", "get,cm4storage,python", "--quiet")
    assert "installing:" not in mlcflow.output("mlcr", "get,cm4storage,python", "--quiet")


def test_error_is_an_exit_code(mlcflow: Engine) -> None:
    done = mlcflow.call("mlcr", "setup,storage,backend", "--data_dir=s3://bucket", "--quiet")
    assert done.returncode != 0
    assert "add _s3 to the tags" in done.stdout
