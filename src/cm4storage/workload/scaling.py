"""The quick scale: the same shape with fewer and smaller files."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import MIB
from cm4storage.workload.checkpoint_scaling import quick_checkpoint_settings

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

QUICK_DATA_SET_BYTES = 128 * MIB
QUICK_STATE_BYTES = 16 * MIB
QUICK_COMPUTATION_PER_EPOCH_S = 3.0
QUICK_STEPS = range(8, 65)
QUICK_EPOCHS = 2


def quick_settings(workload: Workload) -> dict[str, Any]:
    """Return the settings that make `workload` quick, by canonical path.

    Batch size, threads, computation time, format and order stay. The steps of an epoch take about
    `QUICK_COMPUTATION_PER_EPOCH_S` seconds of computation, but are 8 to 64; the samples shrink
    until the data set is `QUICK_DATA_SET_BYTES` at most. Samples that cannot shrink, such as rows
    of single numbers, are fewer instead. The tensors of a checkpoint shrink until it has
    `QUICK_STATE_BYTES`, and the first comes within the epochs that are left. A workload that
    is smaller already stays.
    """
    if workload.writes_checkpoints_only:
        return quick_checkpoint_settings(workload)
    dataset = workload.dataset
    samples = min(_quick_steps(workload) * workload.reader.batch_size, workload.total_samples)
    files = min(max(2, math.ceil(samples / dataset.num_samples_per_file)), dataset.num_files_train)
    files_eval = min(dataset.num_files_eval, files)
    samples_per_file = min(dataset.num_samples_per_file, math.ceil(samples / files))
    in_all_bytes = (files + files_eval) * samples_per_file * _sample_bytes(dataset)
    shrink = min(1.0, QUICK_DATA_SET_BYTES / in_all_bytes)
    return {
        "dataset.num_files_train": files,
        "dataset.num_files_eval": files_eval,
        "dataset.num_samples_per_file": samples_per_file,
        "dataset.num_subfolders_train": min(dataset.num_subfolders_train, files),
        "dataset.num_subfolders_eval": min(dataset.num_subfolders_eval, files_eval),
        "train.epochs": min(workload.train.epochs, QUICK_EPOCHS),
        **_smaller_checkpoints(workload),
        **_smaller_samples(dataset, shrink),
    }


def _smaller_checkpoints(workload: Workload) -> dict[str, Any]:
    """Return a smaller model, and the first checkpoint within the steps that are left."""
    model, checkpoint = workload.model, workload.checkpoint
    groups, layers = model.optimization_groups, model.layer_parameters
    in_all_bytes = model.model_size_bytes + 3 * sum(groups) + max(0, model.num_layers) * sum(layers)
    shrink = min(1.0, QUICK_STATE_BYTES / max(1, in_all_bytes))
    epochs = min(workload.train.epochs, QUICK_EPOCHS)
    steps = min(checkpoint.steps_between_checkpoints, epochs * _quick_steps(workload))
    return {
        "model.model_size_bytes": math.floor(model.model_size_bytes * shrink),
        "model.optimization_groups": tuple(math.floor(size * shrink) for size in groups),
        "model.layer_parameters": tuple(math.floor(size * shrink) for size in layers),
        "checkpoint.checkpoint_after_epoch": min(checkpoint.checkpoint_after_epoch, epochs),
        "checkpoint.steps_between_checkpoints": steps,
    }


def _quick_steps(workload: Workload) -> int:
    step_s = workload.computation_time.mean_s
    most = QUICK_STEPS[-1]
    wanted = math.ceil(min(most, QUICK_COMPUTATION_PER_EPOCH_S / step_s)) if step_s > 0 else most
    if all(column.size == 1 for column in workload.dataset.parquet_columns):
        batch_bytes = workload.reader.batch_size * _fixed_bytes(workload.dataset)
        wanted = min(wanted, int(QUICK_DATA_SET_BYTES // max(batch_bytes, 1)))
    return max(QUICK_STEPS[0], wanted)


def _fixed_bytes(dataset: DatasetSection) -> int:
    """Return what a sample has at least, however small it is made."""
    return sum(column.row_bytes // column.size for column in dataset.parquet_columns)


def _sample_bytes(dataset: DatasetSection) -> float:
    columns_bytes = sum(column.row_bytes for column in dataset.parquet_columns)
    return columns_bytes or dataset.sample_bytes


def _smaller_samples(dataset: DatasetSection, shrink: float) -> dict[str, Any]:
    smaller: dict[str, Any] = {
        f"dataset.{key}": _scaled(getattr(dataset, key), shrink)
        for key in (
            "record_length_bytes",
            "record_length_bytes_stdev",
            "record_length_bytes_resize",
        )
    }
    smaller["dataset.record_length_bytes"] = max(1, smaller["dataset.record_length_bytes"])
    if shrink == 1:
        return smaller
    if dataset.record_dims:
        side = shrink ** (1 / len(dataset.record_dims))
        dims = tuple(max(1, math.floor(length * side)) for length in dataset.record_dims)
        smaller["dataset.record_dims"] = dims
        chunks = zip(dataset.hdf5_chunk_dims, dims, strict=False)
        smaller["dataset.hdf5.chunk_dims"] = tuple(min(pair) for pair in chunks)
    if dataset.parquet_columns:
        smaller["dataset.parquet.columns"] = tuple(
            replace(column, size=max(1, math.floor(column.size * shrink)))
            for column in dataset.parquet_columns
        )
    return smaller


def _scaled(size_bytes: float, shrink: float) -> float:
    return size_bytes if shrink == 1 else math.floor(size_bytes * shrink)
