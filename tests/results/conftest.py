"""One real run for all tests of this folder."""

from __future__ import annotations

import json

import pytest

import cm4storage

PARAMS = (
    "dataset.num_files_train=8 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=900 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.computation_time=0.001 train.epochs=2"
)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Return the folder of one finished run."""
    folder = tmp_path_factory.mktemp("reported")
    workload = cm4storage.load_workload("unet3d_h100", PARAMS, scale="quick")
    report = cm4storage.run(workload, data_dir=folder / "data")
    return report.save(folder / "run")


@pytest.fixture
def report(run_folder):
    """Return the run's report."""
    return json.loads((run_folder / "report.json").read_text(encoding="utf-8"))
