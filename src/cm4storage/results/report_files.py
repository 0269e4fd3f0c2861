"""``report.json`` and ``report.csv``: the figures under the names that comparing tools use."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from cm4storage.core.files import write_json_atomically, write_text_atomically
from cm4storage.results.histogram import Histogram
from cm4storage.results.metrics import FORMULA_VARIANT, EpochMetrics

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.results.figures import RunFigures
    from cm4storage.results.records import EpochRecord

SCHEMA = "cm4storage.report"
VERSION = 1

PERCENTILES = (50, 95, 99)
STAGES = ("io", "decode", "h2d")


def write_report_files(figures: RunFigures, folder: Path) -> dict[str, Any]:
    """Write ``report.json`` and ``report.csv`` into `folder`; return what the former holds."""
    report = build_report(figures)
    write_json_atomically(folder / "report.json", report)
    write_text_atomically(folder / "report.csv", _csv(report))
    return report


def build_report(figures: RunFigures) -> dict[str, Any]:
    """Return the content of ``report.json``. A stage that did not happen is null, never 0."""
    record, workload = figures.record, figures.workload
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "benchmark_name": workload.name,
        "scale": workload.scale,
        "comparable": not figures.not_comparable_because,
        "not_comparable_because": figures.not_comparable_because,
        "backend_type": record.data_set["backend"],
        "framework": workload.framework,
        "total_samples": sum(epoch.samples for epoch in record.epochs),
        "total_bytes": sum(epoch.bytes_read for epoch in record.epochs),
        "au_formula_variant": FORMULA_VARIANT,
        "au_mean_percent": _percent(figures.au_fraction.mean),
        "au_stdev_percent": _percent(figures.au_fraction.stdev),
        "au_threshold_percent": workload.au_threshold * 100,
        "au_met": figures.meets_expectation,
        "throughput_samples_per_sec": figures.samples_per_s.mean,
        "throughput_stdev_samples_per_sec": figures.samples_per_s.stdev,
        "read_mib_per_s": figures.read_mib_per_s.mean,
        "read_stdev_mib_per_s": figures.read_mib_per_s.stdev,
    }
    report |= _latencies("", _waits(record.epochs))
    for stage in STAGES:
        report |= _latencies(f"{stage}_", record.stages.get(stage))
    return report | _provenance(figures)


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100


def _waits(epochs: list[EpochRecord]) -> Histogram:
    waits = Histogram()
    for epoch in epochs:
        for wait_s in epoch.wait_s:
            waits.add(wait_s)
    return waits


def _latencies(prefix: str, stage: Histogram | None) -> dict[str, float | None]:
    values = {p: stage.percentile_s(p) if stage else None for p in PERCENTILES}
    return {
        f"{prefix}p{p}_latency_ms": None if value is None else value * 1e3
        for p, value in values.items()
    }


def _provenance(figures: RunFigures) -> dict[str, Any]:
    record, workload = figures.record, figures.workload
    return {
        "seed": workload.train.seed,
        "data_folder": record.data_set["uri"],
        "data_set": record.data_set["manifest"],
        "format": workload.dataset.format,
        "batch_size": workload.reader.batch_size,
        "read_threads": workload.reader.read_threads,
        "shuffle": workload.reader.file_shuffle != "off" or workload.reader.sample_shuffle != "off",
        "access_order_sample": record.order["first_sample_ids"],
        "access_order_digest": record.order["digest"],
        "workload_digest": record.workload["digest"],
        "workload_source": record.workload["source"],
        "workload_overrides": record.workload["overrides"],
        "limits": record.limits,
        "notes": record.workload["notes"],
        "epochs": [
            _epoch(epoch, metrics)
            for epoch, metrics in zip(record.epochs, figures.epochs, strict=True)
        ],
        "start": record.start,
        "end": record.end,
        "total_execution_time_secs": sum(epoch.duration_s for epoch in record.epochs),
        "command": record.environment["command"],
        "host": {k: v for k, v in record.environment["host"].items() if k not in ("cpu", "memory")},
    }


def _epoch(epoch: EpochRecord, metrics: EpochMetrics) -> dict[str, Any]:
    return {
        "epoch": epoch.number,
        "rank": 0,
        "steps": len(epoch.compute_s),
        "measured_steps": metrics.measured_steps,
        "duration_s": epoch.duration_s,
        "au_percent": _percent(metrics.au_fraction),
        "samples_per_s": metrics.samples_per_s,
        "read_mib_per_s": metrics.read_mib_per_s,
        "bytes_read": epoch.bytes_read,
        "samples": epoch.samples,
    }


_RUN_COLUMNS = (
    "benchmark_name", "scale", "backend_type", "framework", "format", "batch_size", "read_threads",
    "shuffle", "seed", "data_folder", "total_samples", "total_bytes", "au_mean_percent",
    "au_stdev_percent", "au_met", "throughput_samples_per_sec", "read_mib_per_s",
    "total_execution_time_secs",
    *(f"{stage}p{p}_latency_ms" for stage in ("", "io_", "decode_", "h2d_") for p in PERCENTILES),
)  # fmt: skip
_EPOCH_COLUMNS = (
    "epoch", "rank", "steps", "measured_steps", "duration_s", "au_percent", "samples_per_s",
    "bytes_read", "samples",
)  # fmt: skip


def _csv(report: dict[str, Any]) -> str:
    """Return one row for the run, and one for each epoch and rank."""
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, ["row", *_RUN_COLUMNS, *_EPOCH_COLUMNS], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerow({"row": "run"} | report)
    identity = {name: report[name] for name in ("benchmark_name", "scale", "backend_type")}
    for epoch in report["epochs"]:
        writer.writerow({"row": "epoch"} | identity | epoch)
    return stream.getvalue()
