"""The metrics of a run, from DLIO's files or from those of cm4storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.units import GIB
from cm4storage.results.collecting.averages import mean
from cm4storage.results.collecting.files import mapping, number, seconds_between, sequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OF_SUMMARY = {
    "train_au_mean_percentage": "au_mean_percent",
    "train_au_stdev_percentage": "au_stdev_percent",
    "train_throughput_mean_samples_per_second": "samples_per_s",
    "train_throughput_stdev_samples_per_second": "samples_per_s_stdev",
    "train_io_mean_MB_per_second": "nominal_mib_per_s",
    "train_io_stdev_MB_per_second": "nominal_mib_per_s_stdev",
    "eval_au_mean_percentage": "eval_au_mean_percent",
    "eval_throughput_mean_samples_per_second": "eval_samples_per_s",
    "eval_io_mean_MB_per_second": "eval_nominal_mib_per_s",
    "save_checkpoint_io_mean_GB_per_second": "save_rank_0_gib_per_s",
    "save_checkpoint_duration_mean_seconds": "save_rank_0_s",
    "load_checkpoint_io_mean_GB_per_second": "load_rank_0_gib_per_s",
    "load_checkpoint_duration_mean_seconds": "load_rank_0_s",
    "checkpoint_size_GB": "checkpoint_gib",
}
_OF_REPORT = {
    "au_mean_percent": "au_mean_percent",
    "au_stdev_percent": "au_stdev_percent",
    "throughput_samples_per_sec": "samples_per_s",
    "throughput_stdev_samples_per_sec": "samples_per_s_stdev",
    "read_mib_per_s": "read_mib_per_s",
    "total_bytes": "read_bytes",
    "p50_latency_ms": "wait_p50_ms",
    "p95_latency_ms": "wait_p95_ms",
    "p99_latency_ms": "wait_p99_ms",
    "max_latency_ms": "wait_max_ms",
    "io_p50_latency_ms": "read_p50_ms",
    "io_p95_latency_ms": "read_p95_ms",
    "io_p99_latency_ms": "read_p99_ms",
    "retries": "retries",
}

_OF_EVALUATIONS = {"au_percent": "eval_au_mean_percent", "samples_per_s": "eval_samples_per_s"}


def of_summary(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics in DLIO's ``summary.json``."""
    found = _renamed(mapping(summary.get("metric")), _OF_SUMMARY)
    accelerators = number(summary.get("num_accelerators"))
    if accelerators and "samples_per_s" in found:
        found["samples_per_s_per_accelerator"] = found["samples_per_s"] / accelerators
    duration_s = seconds_between(summary.get("start"), summary.get("end"))
    if duration_s is not None:
        found["run_s"] = duration_s
    return found


def of_report(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics in ``report.json`` of cm4storage."""
    found = _renamed(report, _OF_REPORT)
    evaluations = [mapping(each) for each in sequence(report.get("evaluations"))]
    for name, key in _OF_EVALUATIONS.items():
        values = [value for each in evaluations if (value := number(each.get(name))) is not None]
        if values:
            found[key] = mean(values)
    return found


def of_epoch_stats(stats: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean duration of the epochs in a rank's ``per_epoch_stats.json``."""
    epochs = [mapping(epoch) for epoch in stats.values()]
    known = [number(each.get("duration")) for each in epochs if "block1" in each]
    durations_s = [each for each in known if each is not None]
    return {"epoch_mean_s": mean(durations_s)} if durations_s else {}


def of_checkpoint_record(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics in ``checkpoint_run.json`` of cm4storage."""
    layout = mapping(record.get("layout"))
    sizes = [number(layout.get(name)) for name in ("model_bytes", "optimizer_bytes")]
    size_gib = sum(each or 0.0 for each in sizes) / GIB
    found = {"checkpoint_gib": size_gib} if size_gib else {}
    operations = [mapping(each) for each in sequence(record.get("operations"))]
    for kind in ("save", "load"):
        durations_s: dict[str, list[float]] = {}
        for each in operations:
            duration_s = number(each.get("duration_s"))
            if each.get("kind") == kind and duration_s:
                durations_s.setdefault(str(each.get("number")), []).append(duration_s)
        found |= _by_the_rules(kind, durations_s.values(), size_gib)
    return found


def of_checkpoint_stats(stats: Iterable[Mapping[str, Any]], size_gib: float) -> dict[str, float]:
    """Return the metrics of checkpoints from ``{rank}_per_epoch_stats.json`` of all ranks.

    Source: rules of MLPerf Storage v2.0, Checkpointing: the longest duration of the ranks, the
    least throughput of the ranks; then the mean over the checkpoints.
    """
    durations_s: dict[str, dict[str, list[float]]] = {"save": {}, "load": {}}
    for of_rank in stats:
        for epoch, name, operation in checkpoint_operations(of_rank):
            duration_s = number(operation.get("duration"))
            if duration_s:
                durations_s[name[:4]].setdefault(f"{epoch} {name}", []).append(duration_s)
    found: dict[str, float] = {}
    for kind, of_kind in durations_s.items():
        found |= _by_the_rules(kind, of_kind.values(), size_gib)
    return found


def checkpoint_operations(stats: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return epoch, name and content of each ``save_ckpt`` and ``load_ckpt`` of a rank.

    Their names, which are numbered, begin anew in each epoch.
    """
    return [
        (number_of_epoch, name, mapping(operation))
        for number_of_epoch, epoch in stats.items()
        for name, operation in mapping(epoch).items()
        if name.startswith(("save_ckpt", "load_ckpt"))
    ]


def _by_the_rules(
    kind: str, durations_s: Iterable[list[float]], size_gib: float
) -> dict[str, float]:
    longest_s = [max(of_one) for of_one in durations_s]
    if not longest_s:
        return {}
    found = {f"{kind}_s": mean(longest_s)}
    if size_gib:
        rates = [size_gib / each for each in longest_s]
        found[f"{kind}_gib_per_s"] = mean(rates)
    return found


def _renamed(document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    values = {key: number(document.get(name)) for name, key in names.items()}
    return {key: value for key, value in values.items() if value is not None}
