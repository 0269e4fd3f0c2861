"""What DLIO itself does otherwise with a workload, and what it cannot run.

Source: ``config.py``, ``main.py``, the readers and the data loaders of dlio_benchmark 2.0.0 (PyPI),
of the argonne sources of June 2026 and of MLCommons' 3.0.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.workload.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.workload.explain import Explained
    from cm4storage.workload.model import Workload

_EPOCH_WISE = "pytorch"


def quirks(explained: Explained) -> list[Problem]:
    """Return warnings (DLIO cannot run this) and remarks (DLIO would do something else)."""
    found = [problem for rule in _BY_WORKLOAD for problem in rule(explained.workload)]
    found += [problem for rule in _BY_TEXT for problem in rule(explained)]
    return sorted(found, key=lambda problem: problem.level == "remark")


def _warning(what: str, meaning: str) -> Problem:
    return Problem("warning", what, meaning=meaning)


def _remark(what: str, meaning: str) -> Problem:
    return Problem("remark", what, meaning=meaning)


def _subfolders(workload: Workload) -> Iterator[Problem]:
    dataset = workload.dataset
    for split, number in (
        ("train", dataset.num_subfolders_train),
        ("eval", dataset.num_subfolders_eval),
    ):
        if number == 1:
            yield _warning(
                f"dataset.num_subfolders_{split}: 1",
                "DLIO generates without sub-folders and then stops at the training, without a "
                "message; here it means no sub-folders",
            )


def _record_size(workload: Workload) -> Iterator[Problem]:
    dataset = workload.dataset
    if dataset.record_dims and dataset.record_length_bytes_stdev:
        yield _warning(
            "dataset.record_dims with record_length_bytes_stdev",
            "DLIO refuses the two together; here record_dims decide, and all samples are alike",
        )
    if dataset.format in ("jpeg", "png") and dataset.num_samples_per_file > 1:
        yield _warning(
            f"dataset.num_samples_per_file: {dataset.num_samples_per_file} in {dataset.format}",
            "DLIO writes one picture to a file, whatever this key says",
        )


def _prefetch(workload: Workload) -> Iterator[Problem]:
    reader = workload.reader
    if reader.prefetch_size == 0:
        yield _remark(
            "reader.prefetch_size: 0",
            "DLIO's PyTorch loader takes 2 for it; here no batch is read before it is asked for",
        )
    if reader.read_threads == 0:
        yield _remark(
            "reader.read_threads: 0",
            "DLIO reads in the step itself for PyTorch, and takes 1 for TensorFlow",
        )


def _loader(workload: Workload) -> Iterator[Problem]:
    framework, loader = workload.framework, workload.reader.data_loader
    if workload.writes_checkpoints_only:
        return
    if {framework, loader} == {"tensorflow", "pytorch"}:
        yield _warning(
            f"reader.data_loader: {loader} with framework {framework}",
            "DLIO refuses the two together; here neither changes what is read",
        )
    if workload.dataset.format == "tfrecord" and loader == "pytorch":
        yield _warning(
            "dataset.format: tfrecord with reader.data_loader pytorch",
            "DLIO has no PyTorch reader for tfrecord",
        )
    if workload.dataset.format == "parquet" and loader == "tensorflow":
        yield _remark("dataset.format: parquet", "only MLCommons' DLIO reads it")


def _shuffles(workload: Workload) -> Iterator[Problem]:
    reader = workload.reader
    shuffles = (reader.file_shuffle, reader.sample_shuffle)
    if reader.order == "dlio":
        yield from _order_of_dlio(workload)
    elif reader.data_loader == _EPOCH_WISE and shuffles != ("off", "off"):
        yield _remark(
            f"reader.file_shuffle: {shuffles[0]}, sample_shuffle: {shuffles[1]}",
            "DLIO's PyTorch loader reads in rising order all the same; here the shuffle is real",
        )


def _order_of_dlio(workload: Workload) -> Iterator[Problem]:
    what, reader = "reader.order: dlio", workload.reader
    if workload.framework == "pytorch":
        yield _remark(what, "samples are read in rising order, as DLIO's PyTorch loader does")
        if reader.sample_shuffle != "off":
            yield _remark(
                f"reader.sample_shuffle: {reader.sample_shuffle} with {what}",
                "only DLIO 2.0.0 of 2024 shuffles samples for PyTorch; here they rise all the same",
            )
    elif workload.dataset.format == "tfrecord":
        yield _remark(
            what,
            "records come in the order of TensorFlow's interleave and shuffle, as DLIO sets them "
            "up; a file is read anew for each batch that has samples of it",
        )
    else:
        yield _remark(
            what,
            "batches come as DLIO's TensorFlow loader hands them over, one of each thread in turn",
        )


def _steps(workload: Workload) -> Iterator[Problem]:
    if workload.scale == "quick":
        return
    dataset, batch = workload.dataset, workload.reader.batch_size
    possible = workload.total_samples // batch
    wanted = workload.train.total_training_steps
    if workload.workflow.train and wanted > possible > 0:
        yield _warning(
            f"train.total_training_steps: {wanted}",
            f"an epoch has {possible} steps, and DLIO ends with an error; here it takes {possible}",
        )
    unit = dataset.num_samples_per_file * batch
    if workload.workflow.train and unit > 1 and dataset.num_files_train % unit:
        kept = dataset.num_files_train // unit * unit
        yield _remark(
            f"dataset.num_files_train: {dataset.num_files_train}",
            f"DLIO's sources of 2026 trim the files to a multiple of {unit} (samples in a file "
            f"times batch): {kept} are left; here only the samples of the last batch are dropped",
        )


def _inert(workload: Workload) -> Iterator[Problem]:
    dataset, checkpoint = workload.dataset, workload.checkpoint
    if dataset.compression != "none" and dataset.format != "parquet":
        yield _remark(
            f"dataset.compression: {dataset.compression}",
            "DLIO compares a text with a constant of another type, so that parts of it have no "
            "effect: npz files stay uncompressed",
        )
    if checkpoint.fsync:
        yield _remark(
            "checkpoint.fsync: true",
            "DLIO never calls fsync, whatever this key says; here each file is synced",
        )
    if workload.checkpoints_without_training and workload.framework == "tensorflow":
        yield _remark(
            "framework: tensorflow with checkpoints",
            "DLIO writes them with tf.train.Checkpoint; here they are files for torch.load",
        )
    if checkpoint.recovery_rank_shift:
        yield _remark(
            "checkpoint.recovery_rank_shift: true",
            "DLIO stores it where nothing reads it; here each rank reads another's files",
        )
    if workload.writes_checkpoints_only and checkpoint.time_between_checkpoints < 0:
        yield _remark(
            "checkpoint.time_between_checkpoints: -1",
            "it means 1 s between checkpoints, as in DLIO, which takes away the sign",
        )
    if workload.model.parallelism_data > 0 and checkpoint.mode != "subset":
        yield _warning(
            f"model.parallelism.data: {workload.model.parallelism_data}",
            "DLIO takes it only with checkpoint.mode: subset",
        )


def _checkpoints(workload: Workload) -> Iterator[Problem]:
    """Say how the checkpoints of a training differ from DLIO's."""
    steps = workload.checkpoint.steps_between_checkpoints
    if not (workload.workflow.checkpoint and workload.workflow.train):
        return
    what = f"checkpoint.steps_between_checkpoints: {steps}"
    if steps > 0 and workload.train.epochs > 1:
        yield _remark(what, "DLIO counts steps anew in each epoch; here they count over all epochs")
    if steps == 0:
        yield _remark(what, "neither steps nor epochs are followed by checkpoints, in DLIO as here")


def _metric(workload: Workload) -> Iterator[Problem]:
    if workload.metric.au > 1:
        yield _remark(
            f"metric.au: {workload.metric.au:g}",
            f"DLIO takes it for a fraction, out of reach; here it is {workload.metric.au:g} %",
        )


def _workflow(workload: Workload) -> Iterator[Problem]:
    workflow, dataset = workload.workflow, workload.dataset
    if workflow.generate_data and workflow.train:
        yield _remark(
            "workflow.generate_data with workflow.train",
            "DLIO's sources of 2026 then report about 0 MB/s in train_io_mean_MB_per_second",
        )
    if workflow.evaluation and dataset.num_files_eval == 0:
        yield _warning(
            "workflow.evaluation without files: dataset.num_files_eval is 0",
            "there is nothing to evaluate",
        )
    if workflow.evaluation and workload.evaluation.epochs_between_evals == 0:
        yield _remark("evaluation.epochs_between_evals: 0", "DLIO evaluates once")


def _given_texts(explained: Explained) -> Iterator[Problem]:
    """Look at what was written rather than at what it means."""
    raw = {path: entry.raw for path, entry in explained.settings.entries.items()}
    if raw.get("reader.sample_shuffle") is False:
        yield _warning(
            "reader.sample_shuffle: off without quotes is false in YAML",
            'DLIO stops at it; here it means off. Write "off"',
        )
    tensorflow = explained.workload.reader.data_loader == "tensorflow"
    if raw.get("reader.file_shuffle") in (False, "off") and tensorflow:
        yield _remark(
            "reader.file_shuffle: off",
            "DLIO's TensorFlow loader shuffles wherever the key is given",
        )
    if raw.get("reader.read_type") == "on_demand":
        yield _remark(
            "reader.read_type: on_demand",
            "DLIO keeps every file in memory wherever the key is given; leave it out",
        )
    if "model.model_size" in raw:
        yield _remark(
            "model.model_size",
            "DLIO ignores it, and writes checkpoints of 10,240 bytes; write model_size_bytes",
        )


def _absent_train(explained: Explained) -> Iterator[Problem]:
    paths = explained.settings.entries
    has_section = any(path.startswith("workflow.") for path in paths)
    if has_section and "workflow.train" not in paths and explained.workload.workflow.train:
        yield _remark(
            "workflow without train", "DLIO 2.0.0 trains only where workflow.train is written"
        )


_BY_WORKLOAD: tuple[Callable[[Workload], Iterator[Problem]], ...] = (
    _subfolders, _record_size, _prefetch, _loader, _shuffles, _steps, _inert, _checkpoints, _metric,
    _workflow,
)  # fmt: skip
_BY_TEXT: tuple[Callable[[Explained], Iterator[Problem]], ...] = (_given_texts, _absent_train)
