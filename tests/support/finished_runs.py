"""One small real run, for tests that look at what a run leaves."""

from __future__ import annotations

import cm4storage

PARAMS = (
    "dataset.num_files_train=8 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=900 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.computation_time=0.001 train.epochs=2"
)


def finished_run(folder):
    """Run a small workload below `folder`, and return the folder of its results."""
    workload = cm4storage.load_workload("unet3d_h100", PARAMS, scale="quick")
    report = cm4storage.run(workload, data_dir=folder / "data")
    return report.save(folder / "run")
