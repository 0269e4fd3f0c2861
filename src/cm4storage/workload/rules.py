"""Combinations of values that cannot work."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError, redact_url
from cm4storage.core.units import format_count
from cm4storage.workload.format_rules import check_format_settings
from cm4storage.workload.problems import Problem, require_none

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload

SUPPORTED_FORMATS = (
    "npz",
    "npy",
    "hdf5",
    "tfrecord",
    "csv",
    "jpeg",
    "png",
    "indexed_binary",
    "mmap_indexed_binary",
    "parquet",
    "synthetic",
)

_FILE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]*")
_LONGEST_NAME_BYTES = 180
_LARGEST_RECORD_BYTES = 2**46


def check(workload: Workload, source: str) -> None:
    """Refuse a workload that cannot run.

    Raises
    ------
    UserError
        Naming the key, its value and the rule.
    """
    require_none(problems_of(workload, source))


def problems_of(workload: Workload, source: str) -> list[Problem]:
    """Return all combinations of values that cannot work."""
    found: list[Problem] = []
    rules = (
        _format, _has_a_step, _names, _record_fits, check_format_settings, _checkpoints, _one_order,
        _no_credentials,
    )  # fmt: skip
    for rule in rules:
        try:
            rule(workload, source)
        except UserError as error:
            found.append(Problem.of(error))
    return found


def _no_credentials(workload: Workload, source: str) -> None:
    """Refuse a service's address that has a password in it: settings are recorded as they are."""
    endpoint = workload.storage.endpoint_url or ""
    if redact_url(endpoint) != endpoint:
        raise UserError(
            "storage.storage_options.endpoint_url must not hold credentials",
            where=f"{source}: {redact_url(endpoint)}",
            meaning="results record all settings, and are made to be sent on",
            advice="put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )


def require_training(workload: Workload, source: str) -> None:
    """Refuse a workload that holds nothing to train.

    Raises
    ------
    UserError
    """
    if workload.workflow.train:
        return
    if workload.workflow.checkpoint:
        raise UserError(
            "this workload writes checkpoints and does not train",
            where=source,
            meaning="workflow.train is false, and workflow.checkpoint true",
            advice="run it with: cm4storage checkpoint",
        )
    raise UserError(
        "workflow.train is false, so there is nothing to run",
        where=source,
        advice="generate its data set with: cm4storage generate",
    )


def require_data_set(workload: Workload, source: str) -> None:
    """Refuse a workload that has no data set.

    Raises
    ------
    UserError
    """
    if workload.writes_checkpoints_only:
        raise UserError(
            "this workload only writes checkpoints: it has no data set",
            where=source,
            meaning="workflow.train and workflow.generate_data are false",
        )


def remarks(workload: Workload) -> list[str]:
    """Return what a user should know of a workload that can run."""
    if not workload.workflow.train:
        return []
    return [*_without_figures(workload), *_without_checkpoints(workload)]


def _without_figures(workload: Workload) -> list[str]:
    output, steps = workload.output, workload.steps_per_epoch()
    left_out = output.exclude_start_steps + output.exclude_end_steps
    if steps > left_out:
        return []
    measured = f"an epoch has {format_count(steps, 'step')}, and the formulas leave {left_out} out"
    return [f"{measured}: no accelerator utilization and no throughput"]


def _without_checkpoints(workload: Workload) -> list[str]:
    """Tell of a run that ends before its first checkpoint."""
    checkpoint, epochs = workload.checkpoint, workload.train.epochs
    if not workload.workflow.checkpoint or checkpoint.steps_between_checkpoints == 0:
        return []
    steps = epochs * workload.steps_per_epoch()
    if checkpoint.steps_between_checkpoints > 0:
        first, last, unit = checkpoint.steps_between_checkpoints, steps, "step"
    else:
        first, last, unit = checkpoint.checkpoint_after_epoch, epochs, "epoch"
    if first <= last:
        return []
    return [f"no checkpoint: the first is due after {unit} {first}, and the last is {unit} {last}"]


def _format(workload: Workload, source: str) -> None:
    name = workload.dataset.format
    if name not in SUPPORTED_FORMATS:
        raise UserError(
            f"dataset.format: {name} is not supported by this version",
            where=source,
            advice=f"supported: {', '.join(SUPPORTED_FORMATS)}",
        )


def _has_a_step(workload: Workload, source: str) -> None:
    if workload.workflow.train and workload.steps_per_epoch() < 1:
        dataset, batch = workload.dataset, workload.reader.batch_size
        raise UserError(
            f"{workload.total_samples} samples make no batch of {batch}: an epoch has no step",
            where=f"{source}, keys dataset.num_files_train={dataset.num_files_train}, "
            f"dataset.num_samples_per_file={dataset.num_samples_per_file}, "
            f"reader.batch_size={batch}, "
            f"train.total_training_steps={workload.train.total_training_steps}",
            advice="raise the number of files or lower the batch size",
        )


def _names(workload: Workload, source: str) -> None:
    for key, value in (
        ("dataset.file_prefix", workload.dataset.file_prefix),
        ("model.name", workload.model.name),
    ):
        if not _FILE_NAME.fullmatch(value) or len(value.encode()) > _LONGEST_NAME_BYTES:
            raise UserError(
                f"{key}: {value!r} cannot be part of a file's name",
                where=source,
                advice="leave out slashes, control characters and a leading dot; "
                f"{_LONGEST_NAME_BYTES} bytes at most",
            )


def _checkpoints(workload: Workload, source: str) -> None:
    checkpoint = workload.checkpoint
    write, read = checkpoint.num_checkpoints_write, checkpoint.num_checkpoints_read
    if 0 < write < read:
        raise UserError(
            f"checkpoint.num_checkpoints_read: {read} cannot be read where {write} are written",
            where=source,
            advice="read as many as are written, or fewer",
        )


def _one_order(workload: Workload, source: str) -> None:
    sampler = workload.reader.sampler_classname
    if workload.reader.order == "dlio" and sampler is not None:
        raise UserError(
            f"reader.order: dlio and reader.sampler_classname: {sampler} both say what is read",
            where=source,
            advice="leave one of them out",
        )


def _record_fits(workload: Workload, source: str) -> None:
    dataset = workload.dataset
    if dataset.sample_bytes > _LARGEST_RECORD_BYTES:
        raise UserError(
            f"dataset.record_dims: a record of {math.prod(dataset.record_dims)} elements is "
            "too large",
            where=source,
        )
    if dataset.format == "tfrecord" and dataset.record_length_bytes >= 2**31 - 2**16:
        raise UserError(
            f"dataset.record_length_bytes: {dataset.record_length_bytes:.0f} is too large "
            "for a tfrecord",
            where=source,
            meaning="its Example messages are limited to 2 GiB by protocol buffers",
        )
