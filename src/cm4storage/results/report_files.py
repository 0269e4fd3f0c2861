"""``report.json`` and ``report.csv``: the figures under the names that comparing tools use."""

from __future__ import annotations

import csv
import io
from itertools import chain
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import redact_urls
from cm4storage.core.files import write_json_atomically, write_text_atomically
from cm4storage.results.cm_records import cm_record, write_cm_records
from cm4storage.results.histogram import Histogram
from cm4storage.results.metrics import FORMULA_VARIANT, EpochMetrics
from cm4storage.results.report_parts import environment_fields, head_fields
from cm4storage.results.stalls import CHECKPOINT_COLUMNS, RUN_COLUMNS, report_fields

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cm4storage.results.figures import RunFigures
    from cm4storage.results.records import EpochRecord, RunRecord

SCHEMA = "cm4storage.report"
VERSION = 3

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
STAGES = ("io", "decode", "preprocess", "h2d", "compute", "barrier")


def write_report_files(figures: RunFigures, folder: Path) -> dict[str, Any]:
    """Write the report as JSON, CSV and for CM's viewers; return what ``report.json`` holds."""
    report = build_report(figures)
    write_json_atomically(folder / "report.json", report)
    write_text_atomically(folder / "report.csv", _csv(report))
    write_cm_records([cm_record(report)], folder)
    return report


def build_report(figures: RunFigures) -> dict[str, Any]:
    """Return the content of ``report.json``. A stage that did not happen is null, never 0."""
    report: dict[str, Any] = redact_urls(_report(figures))
    return report


def _report(figures: RunFigures) -> dict[str, Any]:
    record, workload = figures.record, figures.workload
    report: dict[str, Any] = {
        **head_fields(SCHEMA, VERSION, figures),
        "backend_type": record.data_set["backend"],
        "client": record.data_set.get("client", ""),
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
    stages = stages_of(record)
    report |= _latencies("", stages["wait"])
    for stage in STAGES:
        report |= _latencies(f"{stage}_", stages.get(stage))
    for part in (_evaluation, _resources, _provenance):
        report |= part(figures)
    return report | environment_fields(record.environment) | report_fields(record)


def stages_of(record: RunRecord) -> dict[str, Histogram]:
    """Return the histogram of each stage, with those that the record has step by step."""
    return record.stages | {
        "wait": _histogram(epoch.wait_s for epoch in record.epochs),
        "compute": _histogram(epoch.compute_s for epoch in record.epochs),
        "h2d": _histogram(epoch.h2d_s or [] for epoch in record.epochs),
        "barrier": _histogram(epoch.barrier_s or [] for epoch in record.epochs),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100


def _histogram(durations_s: Iterable[list[float]]) -> Histogram:
    histogram = Histogram()
    for duration_s in chain.from_iterable(durations_s):
        histogram.add(duration_s)
    return histogram


def _latencies(prefix: str, stage: Histogram | None) -> dict[str, float | None]:
    values = {p: stage.percentile_s(q) if stage else None for p, q in PERCENTILES.items()}
    values["max"] = stage.max_s if stage and stage.count else None
    return {
        f"{prefix}{name}_latency_ms": None if value is None else value * 1e3
        for name, value in values.items()
    }


def _evaluation(figures: RunFigures) -> dict[str, Any]:
    return {
        "evaluations": [
            _epoch(epoch, metrics)
            for epoch, metrics in zip(figures.record.evaluations, figures.evaluations, strict=True)
        ],
        "skipped_files": figures.skipped_files,
        "retries": figures.record.retries,
        "errors": figures.skipped_files + sum(1 for c in figures.record.checkpoints if c.error),
        "first_faults": figures.record.faults,
    }


def _resources(figures: RunFigures) -> dict[str, Any]:
    """Return what the client spent on the epochs. A GB is 10^9 bytes."""
    epochs = figures.record.epochs
    known = [epoch.cpu_s for epoch in epochs if epoch.cpu_s is not None]
    cpu_s = sum(known) if len(known) == len(epochs) else None
    ends = epochs[:1] + epochs[-1:]
    return {
        "cpu_seconds": cpu_s,
        "cpu_seconds_per_gb": _per_gb(cpu_s, sum(epoch.bytes_read for epoch in epochs)),
        "peak_memory_bytes": figures.record.peak_memory_bytes,
        "page_cache_before_percent": _percent(ends[0].resident_before) if ends else None,
        "page_cache_after_percent": _percent(ends[-1].resident_after) if ends else None,
    }


def _per_gb(cpu_s: float | None, bytes_read: int) -> float | None:
    return None if cpu_s is None or not bytes_read else cpu_s / (bytes_read / 1e9)


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
        "conduct": record.conduct,
        "notes": record.workload["notes"],
        "epochs": [
            _epoch(epoch, metrics)
            for epoch, metrics in zip(record.epochs, figures.epochs, strict=True)
        ],
        "start": record.start,
        "end": record.end,
        "total_execution_time_secs": sum(epoch.duration_s for epoch in record.epochs),
        "settings": workload.settings(),
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
        "order_digest": epoch.order_digest,
        "skipped_files": epoch.skipped_files,
        "cpu_seconds": epoch.cpu_s,
        "cpu_seconds_per_gb": _per_gb(epoch.cpu_s, epoch.bytes_read),
        "page_cache_before_percent": _percent(epoch.resident_before),
        "page_cache_after_percent": _percent(epoch.resident_after),
    }


_STAGE_PREFIXES = ("", *(f"{stage}_" for stage in STAGES))
_SETTING_COLUMNS = (
    "dataset.num_files_train", "dataset.num_samples_per_file", "dataset.record_length_bytes",
    "reader.prefetch_size", "train.computation_time", "train.epochs",
)  # fmt: skip
_RUN_COLUMNS = (
    "benchmark_name", "scale", "comparable", "not_comparable_because", "backend_type", "client",
    "framework", "format", "batch_size", "read_threads", "shuffle", "seed", "data_folder",
    *_SETTING_COLUMNS,
    "workload_digest", "access_order_digest", "au_formula_variant", "start", "end",
    "total_samples", "total_bytes", "au_mean_percent", "au_stdev_percent", "au_threshold_percent",
    "au_met", "throughput_samples_per_sec", "throughput_stdev_samples_per_sec", "read_mib_per_s",
    "read_stdev_mib_per_s", "total_execution_time_secs", "retries", "errors", "cpu_seconds",
    "cpu_seconds_per_gb", "peak_memory_bytes",
    *(f"{s}{p}_latency_ms" for s in _STAGE_PREFIXES for p in (*PERCENTILES, "max")),
    "dl_driver_version", "cm4storage_version", "s3dlio_version",
)  # fmt: skip
_EPOCH_COLUMNS = (
    "epoch", "rank", "steps", "measured_steps", "duration_s", "au_percent", "samples_per_s",
    "bytes_read", "samples", "skipped_files", "page_cache_before_percent",
    "page_cache_after_percent",
)  # fmt: skip
_ROWS = {"epochs": "epoch", "evaluations": "evaluation", "checkpoints": "checkpoint"}
"""The lists of a report, and what their rows are called."""


def _csv(report: dict[str, Any]) -> str:
    """Return one row for the run, and one for each epoch, evaluation, checkpoint and rank."""
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream,
        ["row", *_RUN_COLUMNS, *_EPOCH_COLUMNS, *RUN_COLUMNS, *CHECKPOINT_COLUMNS],
        extrasaction="ignore",
        lineterminator="\n",
    )
    writer.writeheader()
    reasons = {"not_comparable_because": "; ".join(report["not_comparable_because"])}
    writer.writerow({"row": "run"} | report["settings"] | report | reasons)
    identity = {name: report[name] for name in ("benchmark_name", "scale", "backend_type")}
    for list_name, name in _ROWS.items():
        for each in report[list_name]:
            writer.writerow({"row": name} | identity | each)
    return stream.getvalue()
