"""The files that DLIO leaves of a run that writes and reads checkpoints, and our reports.

Source of names and shapes: ``utils/statscounter.py`` and ``main.py`` of dlio_benchmark. What DLIO
calls GB is GiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.files import write_json_atomically, write_text_atomically
from cm4storage.core.units import GIB
from cm4storage.results.checkpoint_report import KINDS, build_report, csv_of
from cm4storage.results.cm_records import checkpoint_cm_record, write_cm_records
from cm4storage.results.metrics import Spread
from cm4storage.results.mlperf_metadata import BenchmarkRun, write_metadata
from cm4storage.results.summary import write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cm4storage.results.checkpoint_records import OperationRecord
    from cm4storage.results.checkpoint_run_figures import CheckpointRunFigures

_EPOCH: Final = "1"
_DOING: Final = {"save": "saving", "load": "loading"}


def write_checkpoint_files(figures: CheckpointRunFigures, folder: Path) -> dict[str, Any]:
    """Write the reports and all of DLIO's files; return what ``report.json`` holds."""
    report = build_report(figures)
    write_json_atomically(folder / "report.json", report)
    write_text_atomically(folder / "report.csv", csv_of(figures))
    write_cm_records([checkpoint_cm_record(report)], folder)
    write_config(
        figures.workload,
        figures.record.workload["overrides"],
        {"checkpoint": {"checkpoint_folder": figures.record.storage["uri"]}},
        figures.not_comparable_because,
        folder / "dlio_config",
    )
    place = {"checkpoint_folder": figures.record.storage["uri"]}
    reasons = figures.not_comparable_because
    run = BenchmarkRun(
        "checkpointing", figures.record, figures.workload, place, figures.ranks, reasons
    )
    write_metadata(run, folder)
    write_checkpoint_statistics(figures, folder)
    return report


def write_checkpoint_statistics(
    figures: CheckpointRunFigures, folder: Path, log_name: str = "dlio.log"
) -> None:
    """Write DLIO's files of all ranks, its configuration left out; ``summary.json`` is the last."""
    for rank in range(figures.ranks):
        write_json_atomically(folder / f"{rank}_per_epoch_stats.json", _stats(figures, rank))
        write_json_atomically(folder / f"{rank}_output.json", _output(figures))
    write_text_atomically(folder / log_name, _log(figures))
    write_json_atomically(folder / "summary.json", _summary(figures))


def _summary(figures: CheckpointRunFigures) -> dict[str, Any]:
    record, dataset = figures.record, figures.workload.dataset
    host = record.environment["host"]
    return {
        "start": record.start,
        "num_accelerators": figures.ranks,
        "num_hosts": record.layout["hosts"],
        "hostname": host["hostname"],
        "metric": _metric(figures),
        "num_files_train": dataset.num_files_train,
        "num_files_eval": dataset.num_files_eval,
        "num_samples_per_file": dataset.num_samples_per_file,
        "host_cpu_count": [host["cpu_count"]],
        "host_processor_name": host["processor"],
        "potential_caching": [int(host["memory_bytes"] > figures.size_bytes)],
        "host_cpuinfo": host["cpu"],
        "host_meminfo": host["memory"],
        "host_memory_GB": [host["memory_bytes"] / GIB],
        "data_size_per_host_GB": figures.size_bytes / GIB,
        "epochs": 0,
        "end": record.end,
        **_mark(figures),
    }


def _mark(figures: CheckpointRunFigures) -> dict[str, Any]:
    """Return a key of ours for figures that are not comparable; none for those that are."""
    reasons = figures.not_comparable_because
    return {"cm4storage_not_comparable_because": reasons} if reasons else {}


def _metric(figures: CheckpointRunFigures) -> dict[str, Any]:
    metric: dict[str, Any] = {}
    for kind in KINDS:
        if each := figures.of(kind):
            rate = Spread.of([one.throughput_rank_0_gib_per_s for one in each])
            duration = Spread.of([one.duration_rank_0_s for one in each])
            metric |= {
                f"{kind}_checkpoint_io_mean_GB_per_second": rate.mean,
                f"{kind}_checkpoint_io_stdev_GB_per_second": rate.stdev,
                f"{kind}_checkpoint_duration_mean_seconds": duration.mean,
                f"{kind}_checkpoint_duration_stdev_seconds": duration.stdev,
            }
    return metric | {"checkpoint_size_GB": figures.size_bytes / GIB}


def _stats(figures: CheckpointRunFigures, rank: int) -> dict[str, Any]:
    """Return the content of ``{rank}_per_epoch_stats.json``."""
    blocks = {
        f"{each.kind}_ckpt{each.number}": {
            "start": each.start,
            "end": each.end,
            "duration": each.duration_s,
            "throughput": figures.size_bytes / GIB / each.duration_s,
        }
        for each in figures.operations(rank)
    }
    record = figures.record
    return {_EPOCH: {"start": record.start, **blocks, "end": record.end, **_mark(figures)}}


def _output(figures: CheckpointRunFigures) -> dict[str, Any]:
    """Return the content of ``{rank}_output.json``: all ranks are on one host."""
    record = figures.record
    host = record.environment["host"]
    measured: dict[str, Any] = {
        name: {} for name in ("load", "proc", "throughput", "au", "compute")
    }
    return {
        "host_memory_GB": host["memory_bytes"] / GIB,
        "host_cpu_count": host["cpu_count"],
        "host_processor_name": host["processor"],
        "potential_caching": int(host["memory_bytes"] > figures.size_bytes),
        "host_cpuinfo": host["cpu"],
        "host_meminfo": host["memory"],
        "hostname": host["hostname"],
        _EPOCH: {"start": record.start, **measured, "end": record.end},
        **_mark(figures),
    }


def _log(figures: CheckpointRunFigures) -> str:
    """Return the content of ``dlio.log``, each line with the time at which it happened."""
    record, layout = figures.record, figures.record.layout
    subset = " (subset)" if layout["is_subset"] else ""
    start = [
        f"Running DLIO with {figures.ranks} process(es)",
        *(f"not comparable: {reason}" for reason in figures.not_comparable_because),
        f"Model size: {layout['model_bytes'] / GIB:.6f} GB{subset}",
        f"Optimizer state size: {layout['optimizer_bytes'] / GIB:.6f} GB{subset}",
        f"Total checkpoint size: {figures.size_bytes / GIB:.6f} GB{subset}",
    ]
    lines = [f"[OUTPUT] {record.start} {text}" for text in start]
    for operation in figures.operations(0):
        lines += _log_of(operation, figures.size_bytes / GIB)
    lines += [f"[METRIC] {record.end} {text}" for text in _averages(figures)]
    return "\n".join(lines) + "\n"


def _log_of(operation: OperationRecord, size_gib: float) -> Iterator[str]:
    what = f"{_DOING[operation.kind]} checkpoint {operation.number}"
    rate = f"{size_gib / operation.duration_s:.4f} GB/s"
    yield (
        f"[OUTPUT] {operation.start} Starting {what} after total step {operation.number} "
        f"for epoch {_EPOCH}"
    )
    yield (
        f"[OUTPUT] {operation.end} Finished {what} for epoch {_EPOCH} "
        f"in {operation.duration_s:.4f} s; Throughput: {rate}"
    )


def _averages(figures: CheckpointRunFigures) -> Iterator[str]:
    yield "Averaged metric over all steps/epochs"
    yield f"Number of Simulated Accelerators: {figures.ranks}"
    metric = _metric(figures)
    for kind in KINDS:
        if figures.of(kind):
            for name, key in (
                ("duration (seconds)", "duration_{}_seconds"),
                ("I/O Throughput (GB/second)", "io_{}_GB_per_second"),
            ):
                mean, stdev = (
                    metric[f"{kind}_checkpoint_{key.format(part)}"] for part in ("mean", "stdev")
                )
                yield f"Checkpoint {kind} {name}: {mean:.4f} ({stdev:.4f})"
