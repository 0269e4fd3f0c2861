"""What a run will read and need, computed before anything is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.dataset.generation import planned_bytes
from cm4storage.formats.format import format_of
from cm4storage.workload.plan import Plan
from cm4storage.workload.sections import item_bytes

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection


@dataclass(frozen=True)
class Needs:
    """The needs of one run with one rank.

    Attributes
    ----------
    data_set_bytes : int
        What the data set takes on the storage, to within some bytes a file.
    epochs, steps_per_epoch : int
    read_bytes_per_epoch, read_bytes : int
        What is read in an epoch, and in all: the share of the samples that the steps take.
    sample_bytes : int
        What is handed to the step for each sample, at most.
    batch_memory_bytes : int
        batch_size x (prefetch_size + 1) x `sample_bytes`.
    least_time_s : float
        The mean computation of all steps: what a storage that takes no time would leave.
    """

    data_set_bytes: int
    epochs: int
    steps_per_epoch: int
    read_bytes_per_epoch: int
    read_bytes: int
    sample_bytes: int
    batch_memory_bytes: int
    least_time_s: float


def needs_of(workload: Workload) -> Needs | None:
    """Return what a run of `workload` reads and needs; None where it has no data set."""
    if workload.writes_checkpoints_only:
        return None
    plan = Plan.of(workload)
    data_set_bytes = planned_bytes(plan, format_of(workload.dataset))
    trains = workload.workflow.train
    epochs = workload.train.epochs if trains else 0
    steps = workload.steps_per_epoch() if trains else 0
    reader = workload.reader
    per_epoch = _read_bytes(workload, data_set_bytes, steps)
    sample_bytes = _handed_over_bytes(workload)
    return Needs(
        data_set_bytes=data_set_bytes,
        epochs=epochs,
        steps_per_epoch=steps,
        read_bytes_per_epoch=per_epoch,
        read_bytes=per_epoch * epochs,
        sample_bytes=sample_bytes,
        batch_memory_bytes=reader.batch_size * (reader.prefetch_size + 1) * sample_bytes,
        least_time_s=workload.computation_time.mean_s * steps * epochs,
    )


def _read_bytes(workload: Workload, data_set_bytes: int, steps: int) -> int:
    dataset = workload.dataset
    files = dataset.num_files_train + dataset.num_files_eval
    samples = steps * workload.reader.batch_size
    share = samples / (files * dataset.num_samples_per_file)
    return round(data_set_bytes * share * _columns_read(dataset))


def _columns_read(dataset: DatasetSection) -> float:
    """Return the share of a row's bytes that is in columns which are read."""
    in_all = sum(column.row_bytes for column in dataset.parquet_columns)
    read = sum(column.row_bytes for column in dataset.parquet_columns if column.read)
    return read / in_all if in_all else 1.0


def _handed_over_bytes(workload: Workload) -> int:
    dataset, reader = workload.dataset, workload.reader
    if reader.transformed_record_dims:
        items = math.prod(reader.transformed_record_dims)
        return items * item_bytes(reader.transformed_record_element_type)
    if dataset.record_length_bytes_resize > 0:
        return int(math.sqrt(dataset.record_length_bytes_resize)) ** 2
    if dataset.parquet_columns:
        return sum(column.row_bytes for column in dataset.parquet_columns if column.read)
    return math.ceil(dataset.sample_bytes)
