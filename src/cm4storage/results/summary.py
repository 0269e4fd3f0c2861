"""The files that DLIO leaves, field by field, in strict JSON.

Source of names and shapes: ``utils/statscounter.py`` and ``utils/utility.py`` of dlio_benchmark.
A figure that does not exist is null where DLIO would write NaN, and 0 where it writes that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import redact_urls
from cm4storage.core.files import write_json_atomically, write_text_atomically
from cm4storage.results import blocks
from cm4storage.results.block_figures import MeasuredBlock, blocks_of, epochs_of
from cm4storage.results.dlio_log import dlio_log
from cm4storage.results.metrics import Spread
from cm4storage.results.mlperf_metadata import BenchmarkRun, write_metadata
from cm4storage.workload.entries import nested

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cm4storage.results.figures import RunFigures
    from cm4storage.results.metrics import EpochMetrics
    from cm4storage.results.records import CheckpointRecord, EpochRecord, RunRecord
    from cm4storage.workload.model import Workload

STATS_NAME = "0_per_epoch_stats.json"

_GIB = 2**30
_MIB = 2**20


def write_dlio_files(figures: RunFigures, folder: Path) -> None:
    """Write DLIO's files, and that of MLPerf Storage's runner, into `folder`.

    ``summary.json`` is the last, as the sign of a complete run.
    """
    write_config(
        figures.workload,
        figures.record.workload["overrides"],
        {"dataset": {"data_folder": figures.record.data_set["uri"]}},
        figures.not_comparable_because,
        folder / "dlio_config",
    )
    uri, reasons = figures.record.data_set["uri"], figures.not_comparable_because
    run = BenchmarkRun("training", figures.record, figures.workload, {"data_dir": uri}, 1, reasons)
    write_metadata(run, folder)
    write_statistics(figures, folder)


def write_statistics(
    figures: RunFigures,
    folder: Path,
    *,
    stats_name: str = STATS_NAME,
    log_name: str = "dlio.log",
) -> None:
    """Write DLIO's files of one rank, its configuration left out; ``summary.json`` is the last.

    Parameters
    ----------
    stats_name : str
        ``per_epoch_stats.json`` in the release of 2024.
    log_name : str
        As in ``output.log_file``.
    """
    write_json_atomically(folder / stats_name, per_epoch_stats(figures))
    write_json_atomically(folder / "0_output.json", rank_output(figures))
    content = summary(figures)
    write_text_atomically(folder / log_name, dlio_log(figures, content["metric"]))
    write_json_atomically(folder / "summary.json", content)


def summary(figures: RunFigures) -> dict[str, Any]:
    """Return the content of ``summary.json``."""
    record, dataset = figures.record, figures.workload.dataset
    host = record.environment["host"]
    return {
        "start": record.start,
        "num_accelerators": 1,
        "num_hosts": 1,
        "hostname": host["hostname"],
        "metric": _metric(figures),
        "num_files_train": dataset.num_files_train,
        "num_files_eval": dataset.num_files_eval,
        "num_samples_per_file": dataset.num_samples_per_file,
        "host_cpu_count": [host["cpu_count"]],
        "host_processor_name": host["processor"],
        "potential_caching": [_potential_caching(figures)],
        "host_cpuinfo": host["cpu"],
        "host_meminfo": host["memory"],
        "host_memory_GB": [host["memory_bytes"] / _GIB],
        "data_size_per_host_GB": _nominal_bytes(figures) / _GIB,
        "epochs": len(figures.epochs),
        "end": record.end,
        **_mark(figures),
    }


def _mark(figures: RunFigures) -> dict[str, Any]:
    """Return a key of ours for figures that are not comparable; none for those that are."""
    reasons = figures.not_comparable_because
    return {"cm4storage_not_comparable_because": reasons} if reasons else {}


def _metric(figures: RunFigures) -> dict[str, Any]:
    metric = _phase_metric("train", epochs_of(figures), figures.workload)
    if figures.evaluations:
        metric |= _phase_metric("eval", figures.evaluations, figures.workload)
    return metric | _checkpoint_metric(figures)


def _phase_metric(phase: str, epochs: Sequence[EpochMetrics], workload: Workload) -> dict[str, Any]:
    """Return the figures of training or evaluation under DLIO's names.

    An epoch without a measured step counts as 0, as in DLIO; readers of these lists take a null for
    a number and stop.
    """
    percentages = [(epoch.au_fraction or 0.0) * 100 for epoch in epochs]
    rates = [epoch.samples_per_s or 0.0 for epoch in epochs]
    au, throughput = Spread.of(percentages), Spread.of(rates)
    is_reached = au.mean is not None and au.mean >= workload.au_threshold * 100
    nominal_mib = workload.dataset.sample_bytes / _MIB
    return {
        f"{phase}_au_percentage": percentages,
        f"{phase}_au_mean_percentage": au.mean,
        f"{phase}_au_meet_expectation": "success" if is_reached else "fail",
        f"{phase}_au_stdev_percentage": au.stdev,
        f"{phase}_throughput_samples_per_second": rates,
        f"{phase}_throughput_mean_samples_per_second": throughput.mean,
        f"{phase}_throughput_stdev_samples_per_second": throughput.stdev,
        f"{phase}_io_mean_MB_per_second": _times(throughput.mean, nominal_mib),
        f"{phase}_io_stdev_MB_per_second": _times(throughput.stdev, nominal_mib),
    }


def _checkpoint_metric(figures: RunFigures) -> dict[str, Any]:
    """Return the figures of checkpoints under DLIO's names, where any were asked for.

    The duration is that of the write, in the background, too. GB are GiB, as in DLIO.
    """
    written = [each for each in figures.record.checkpoints if not each.error]
    if not written and not figures.workload.workflow.checkpoint:
        return {}
    rates = Spread.of([_gib_per_s(each) for each in written])
    durations = Spread.of([each.write_s for each in written])
    return {
        "save_checkpoint_io_mean_GB_per_second": rates.mean,
        "save_checkpoint_io_stdev_GB_per_second": rates.stdev,
        "save_checkpoint_duration_mean_seconds": durations.mean,
        "save_checkpoint_duration_stdev_seconds": durations.stdev,
        "checkpoint_size_GB": written[0].size_bytes / _GIB if written else None,
    }


def _gib_per_s(checkpoint: CheckpointRecord) -> float | None:
    return checkpoint.size_bytes / _GIB / checkpoint.write_s if checkpoint.write_s > 0 else None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _nominal_bytes(figures: RunFigures) -> float:
    dataset = figures.workload.dataset
    return dataset.num_files_train * dataset.num_samples_per_file * dataset.sample_bytes


def _potential_caching(figures: RunFigures) -> int:
    memory_bytes = figures.record.environment["host"]["memory_bytes"]
    return int(memory_bytes > _nominal_bytes(figures))


def per_epoch_stats(figures: RunFigures) -> dict[str, Any]:
    """Return the content of ``0_per_epoch_stats.json``."""
    record = figures.record
    return {
        str(epoch.number): {
            "start": epoch.start,
            **{block.name: _times_of(block.steps) for block in blocks.of_epoch(record, epoch)},
            **_checkpoint_stats(record, epoch),
            **_eval_stats(figures, epoch.number),
            "end": epoch.end,
            "duration": f"{epoch.duration_s:.2f}",
            **_mark(figures),
        }
        for epoch in record.epochs
    }


def _times_of(epoch: EpochRecord) -> dict[str, str]:
    return {"start": epoch.start, "end": epoch.end, "duration": f"{epoch.duration_s:.2f}"}


def _checkpoint_stats(record: RunRecord, epoch: EpochRecord) -> dict[str, Any]:
    """Return start, end, duration and rate of the checkpoints that follow steps of an epoch."""
    return {
        f"save_ckpt{number}": {
            "start": each.start,
            "end": each.end,
            "duration": each.write_s,
            "throughput": _gib_per_s(each),
        }
        for number, each in enumerate(blocks.checkpoints_of(record, epoch), start=1)
    }


def _eval_stats(figures: RunFigures, number: int) -> dict[str, Any]:
    """Return start, end and duration of the evaluation after epoch `number`, if there was one."""
    for each in figures.record.evaluations:
        if each.number == number:
            return {"eval": _times_of(each)}
    return {}


def rank_output(figures: RunFigures) -> dict[str, Any]:
    """Return the content of ``0_output.json``."""
    host = figures.record.environment["host"]
    document: dict[str, Any] = {
        "host_memory_GB": host["memory_bytes"] / _GIB,
        "host_cpu_count": host["cpu_count"],
        "host_processor_name": host["processor"],
        "potential_caching": _potential_caching(figures),
        "host_cpuinfo": host["cpu"],
        "host_meminfo": host["memory"],
        "hostname": host["hostname"],
        **_mark(figures),
    }
    evaluations = {
        each.number: MeasuredBlock("eval", each, metrics)
        for each, metrics in zip(figures.record.evaluations, figures.evaluations, strict=True)
    }
    for epoch, metrics in zip(figures.record.epochs, figures.epochs, strict=True):
        measured = blocks_of(figures, epoch, metrics)
        if epoch.number in evaluations:
            measured.append(evaluations[epoch.number])
        document[str(epoch.number)] = _epoch_output(measured, host)
    return document


def _epoch_output(parts: list[MeasuredBlock], host: dict[str, Any]) -> dict[str, Any]:
    return {
        "load": {each.name: each.steps.wait_s for each in parts},
        "proc": {each.name: each.steps.process_s for each in parts},
        "compute": {each.name: each.steps.compute_s for each in parts},
        "throughput": {each.name: each.samples_per_s for each in parts},
        "au": {each.name: each.au_percent for each in parts},
        "host_meminfo": host["memory"],
        "end": parts[-1].steps.end,
    }


def write_config(
    workload: Workload,
    overrides: dict[str, Any],
    places: dict[str, dict[str, str]],
    reasons: list[str],
    folder: Path,
) -> None:
    """Write the resolved configuration as Hydra would lay it out, without secrets of URLs.

    Parameters
    ----------
    workload : Workload
    overrides : dict
        What was changed in it, by canonical path.
    places : dict
        What the run knows better, by section and key: where its data were.
    reasons : list of str
        Why the run is not comparable; a remark at the top of each file.
    folder : Path
    """
    config = nested(workload.settings())
    if workload.checkpoint.mode == "default":
        del config["checkpoint"]["mode"]  # MLPerf Storage's checkers know it as absent or "subset"
    for section, values in places.items():
        config[section].update(values)
    changes = [f"workload={workload.name}"]
    changes += [f"++workload.{key}={value}" for key, value in overrides.items()]
    hydra = {
        "hydra": {
            "run": {"dir": "."},  # the folder of results is renamed later, and may be moved
            "output_subdir": folder.name,
            "overrides": {"hydra": [], "task": changes},
            "job": {"name": "cm4storage", "num": 0, "config_name": "config"},
            "runtime": {"output_dir": ".", "choices": {"workload": workload.name}},
        }
    }
    folder.mkdir(exist_ok=True)
    remark = f"# not comparable: {', '.join(reasons)}\n" if reasons else ""
    for file_name, document in (
        ("config.yaml", {"workload": config}),
        ("overrides.yaml", changes),
        ("hydra.yaml", hydra),
    ):
        text = yaml.safe_dump(redact_urls(document), sort_keys=False)
        write_text_atomically(folder / file_name, remark + text)
