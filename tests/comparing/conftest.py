"""One real run for all tests of a file, and reports that are made from it."""

from __future__ import annotations

import copy
import json

import pytest

import cm4storage
from cm4storage.results.comparing import rules as tolerances

PARAMS = (
    "dataset.num_files_train=8 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=900 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.computation_time=0.001 train.epochs=2"
)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Return the folder of one finished run."""
    folder = tmp_path_factory.mktemp("compared")
    workload = cm4storage.load_workload("unet3d_h100", PARAMS, scale="quick")
    report = cm4storage.run(workload, data_dir=folder / "data")
    return report.save(folder / "run")


@pytest.fixture(scope="session")
def _report(run_folder):
    return json.loads((run_folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def report(_report):
    """Return a copy of the run's report, to be changed at will."""
    return copy.deepcopy(_report)


@pytest.fixture
def rules():
    """Return the rules of the package in their usual mode."""
    return tolerances.load().chosen("standard", "file")
