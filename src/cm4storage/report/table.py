"""The table that ends a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_STAGE_NAMES = {
    "": "wait for a batch",
    "io_": "read",
    "decode_": "decode a sample",
    "preprocess_": "preprocess a sample",
    "h2d_": "move to the device",
    "barrier_": "wait for other ranks",
}
_ALWAYS_SHOWN = ("", "io_", "decode_")
_COLUMNS = {"p50": "P50", "p95": "P95", "p99": "P99", "p99_9": "P99.9", "max": "max"}

_REASONS_SHOWN = 2


def render(report: dict[str, Any], folder: str, rerun_command: str, page: str = "") -> str:
    """Return the lines that sum up a run.

    Parameters
    ----------
    report : dict
        The content of ``report.json``.
    folder : str
        Where the results are.
    rerun_command : str
        The command that runs it again.
    page : str, optional
        The file to open in a browser; no line is shown without it.
    """
    lines = [_title(report), "", *_figures(report), "", *_latencies(report), ""]
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [f"skipped: {fault.splitlines()[0]}" for fault in report["first_faults"][:3]]
    return "\n".join([*lines, *closing_lines(folder, page, rerun_command)])


def closing_lines(folder: str, page: str, rerun_command: str) -> list[str]:
    """Return the last lines of a run: where its results are, and how to run it again."""
    shown = [f"page      {page}"] if page else []
    return [f"results   {folder}", *shown, f"run again {rerun_command}"]


def through(client: str) -> str:
    """Return which client the requests went through, empty for the usual one."""
    return f" through {client}" if client not in ("", "obstore") else ""


def not_comparable(reasons: Sequence[str]) -> str:
    """Return why a run cannot be compared, behind its title; empty where it can be."""
    more = f" and {len(reasons) - _REASONS_SHOWN} more" if len(reasons) > _REASONS_SHOWN else ""
    return f"  [not comparable: {', '.join(reasons[:_REASONS_SHOWN])}{more}]" if reasons else ""


def _title(report: dict[str, Any]) -> str:
    backend = f"{report['backend_type']}{through(report.get('client') or '')}"
    suffix = not_comparable(report["not_comparable_because"])
    return f"{report['benchmark_name']} on {backend}{suffix}"


def _figures(report: dict[str, Any]) -> list[str]:
    steps = "".join(f" of {format_count(e['steps'], 'step')}" for e in report["epochs"][:1])
    duration = format_seconds(report["total_execution_time_secs"])
    amount = f"{format_bytes(report['total_bytes'])} in {_epochs(report)}{steps}, {duration}"
    return [
        _row("accelerator utilization", _au(report)),
        _row("throughput", _measured(report, "throughput_{}samples_per_sec", "samples/s")),
        _row("read from storage", _measured(report, "read_{}mib_per_s", "MiB/s")),
        _row("bytes read", amount),
        *_retries(report),
        *_page_cache(report),
        *_evaluation(report),
        *_checkpoints(report),
    ]


def _retries(report: dict[str, Any]) -> list[str]:
    """Return how many requests failed first: they cost time that the figures have in them."""
    count = report["retries"]
    return [_row("sent again", format_count(count, "request"))] if count else []


def _page_cache(report: dict[str, Any]) -> list[str]:
    """Return what was in the page cache before the first epoch and after the last."""
    before, after = report["page_cache_before_percent"], report["page_cache_after_percent"]
    if before is None or after is None:
        return []
    how = "evicted before each epoch" if report["conduct"].get("is_cold") else "as it was found"
    text = f"{before:.0f} % of the data set before the run, {after:.0f} % after it  ({how})"
    return [_row("page cache", text)]


def _evaluation(report: dict[str, Any]) -> list[str]:
    """Return the mean throughput of the evaluations, if there were any."""
    every = [each["samples_per_s"] for each in report["evaluations"]]
    rates = [rate for rate in every if rate is not None]
    if not rates:
        return []
    times = format_count(len(rates), "evaluation")
    return [_row("evaluation", f"{sum(rates) / len(rates):,.1f} samples/s  ({times})")]


def _checkpoints(report: dict[str, Any]) -> list[str]:
    """Return how long checkpoints stalled the training and how fast they were written, if any."""
    written, failed = report["checkpoint_written"], report["checkpoint_failed"]
    lines = [_row("checkpoints failed", str(failed))] if failed else []
    if not written:
        return lines
    amount = format_bytes(report["checkpoint_size_bytes"])
    rate = report["checkpoint_write_mib_per_s"]
    speed = "" if rate is None else f" at {rate:,.1f} MiB/s"
    stalls = [format_seconds(report[f"checkpoint_stall_{which}_s"]) for which in ("mean", "max")]
    return [
        _row("checkpoints", f"{written} with {amount}{speed}"),
        _row("stall of a checkpoint", f"{stalls[0]} in the mean, {stalls[1]} at most"),
        *lines,
    ]


def _epochs(report: dict[str, Any]) -> str:
    return format_count(len(report["epochs"]), "epoch")


def _row(label: str, value: str) -> str:
    return f"  {label:<25} {value}"


def _au(report: dict[str, Any]) -> str:
    mean = report["au_mean_percent"]
    threshold = f"{report['au_threshold_percent']:.0f} %"
    if mean is None:
        return "not measured: there is no step after those that the formula leaves out"
    verdict = "reached" if report["au_met"] else "missed"
    spread = _spread(report, report["au_stdev_percent"])
    return f"{mean:.1f}{spread} %  (threshold {threshold}: {verdict}, DLIO {_variant(report)})"


def _variant(report: dict[str, Any]) -> str:
    return f"formula {report['au_formula_variant']}"


def _measured(report: dict[str, Any], name: str, unit: str) -> str:
    mean, stdev = report[name.format("")], report[name.format("stdev_")]
    if mean is None:
        return "not measured"
    return f"{mean:,.1f}{_spread(report, stdev)} {unit}  ({_epochs(report)})"


def _spread(report: dict[str, Any], stdev: float) -> str:
    """Return the deviation over the epochs; a single epoch has none."""
    return f" +/- {stdev:,.1f}" if len(report["epochs"]) > 1 else ""


def _latencies(report: dict[str, Any]) -> list[str]:
    lines = [f"  {'latency':<25} {' '.join(f'{title:>9}' for title in _COLUMNS.values())}"]
    for prefix, name in _STAGE_NAMES.items():
        values = [report[f"{prefix}{column}_latency_ms"] for column in _COLUMNS]
        if prefix in _ALWAYS_SHOWN or any(value is not None for value in values):
            cells = map(_milliseconds, values)
            lines.append(f"  {name:<25} {' '.join(f'{cell:>9}' for cell in cells)}")
    return lines


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else format_seconds(value / 1e3)
