"""The quick scale: the same shape with fewer and smaller files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload

QUICK_DATA_SET_BYTES = 128 * MIB
QUICK_COMPUTATION_PER_EPOCH_S = 3.0
QUICK_STEPS = range(8, 65)
QUICK_EPOCHS = 2


def quick_settings(workload: Workload) -> dict[str, Any]:
    """Return the settings that make `workload` quick, by canonical path.

    Batch size, threads, computation time, format and order stay. The steps of an epoch take about
    `QUICK_COMPUTATION_PER_EPOCH_S` seconds of computation, but are 8 to 64; the samples shrink
    until the data set is `QUICK_DATA_SET_BYTES` at most. A workload that is smaller already stays.
    """
    dataset = workload.dataset
    samples = min(_quick_steps(workload) * workload.reader.batch_size, workload.total_samples)
    files = min(max(2, math.ceil(samples / dataset.num_samples_per_file)), dataset.num_files_train)
    samples_per_file = min(dataset.num_samples_per_file, math.ceil(samples / files))
    shrink = min(
        1.0, QUICK_DATA_SET_BYTES / (files * samples_per_file * dataset.record_length_bytes)
    )
    return {
        "dataset.num_files_train": files,
        "dataset.num_files_eval": min(dataset.num_files_eval, files),
        "dataset.num_samples_per_file": samples_per_file,
        "dataset.num_subfolders_train": min(dataset.num_subfolders_train, files),
        "dataset.record_length_bytes": _scaled(dataset.record_length_bytes, shrink),
        "dataset.record_length_bytes_stdev": _scaled(dataset.record_length_bytes_stdev, shrink),
        "dataset.record_length_bytes_resize": _scaled(dataset.record_length_bytes_resize, shrink),
        "train.epochs": min(workload.train.epochs, QUICK_EPOCHS),
    }


def _quick_steps(workload: Workload) -> int:
    step_s = workload.computation_time.mean_s
    wanted = math.ceil(QUICK_COMPUTATION_PER_EPOCH_S / step_s) if step_s > 0 else QUICK_STEPS[-1]
    return max(QUICK_STEPS[0], min(QUICK_STEPS[-1], wanted))


def _scaled(size_bytes: float, shrink: float) -> float:
    return size_bytes if shrink == 1 else float(math.floor(size_bytes * shrink))
