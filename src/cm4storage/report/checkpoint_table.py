"""The table that ends a run of checkpoints, and the one of what a run would write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.units import GIB, format_bytes, format_count
from cm4storage.report.listing import table
from cm4storage.report.table import closing_lines, not_comparable, through
from cm4storage.results.checkpoint_records import PAGE_CACHE_STATES

if TYPE_CHECKING:
    from cm4storage.checkpoint.models.layout import Layout, RankSize

_ALIKE_SHOWN = 6


def render_checkpoints(
    report: dict[str, Any], folder: str, rerun_command: str, page: str = ""
) -> str:
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
    lines = [_title(report), "", *_size(report)]
    lines += [line for kind in ("save", "load") for line in _figures(report, kind)]
    lines += ["", *(f"note: {note}" for note in report["notes"])]
    return "\n".join([*lines, *closing_lines(folder, page, rerun_command)])


def _title(report: dict[str, Any]) -> str:
    storage = report["storage"]
    backend = f"{storage['backend']}{through(storage['client'])}"
    suffix = not_comparable(report["not_comparable_because"])
    ranks = format_count(report["layout"]["ranks"], "rank")
    subset = ", a subset" if report["layout"]["is_subset"] else ""
    return f"{report['benchmark_name']} checkpoints on {backend}, {ranks}{subset}{suffix}"


def _size(report: dict[str, Any]) -> list[str]:
    layout = report["layout"]
    model, optimizer = layout["model_bytes"], layout["optimizer_bytes"]
    parts = f"model {format_bytes(model)}, optimizer {format_bytes(optimizer)}"
    size = f"{format_bytes(model + optimizer)} in {format_count(layout['files'], 'file')}"
    return [_row("one checkpoint", f"{size}  ({parts})")]


def _figures(report: dict[str, Any], kind: str) -> list[str]:
    count = report[f"{kind}_count"]
    if not count:
        return []
    name = {"save": "write", "load": "read"}[kind]
    times = format_count(count, "checkpoint")
    duration = _mean(report, f"{kind}_duration_max_over_ranks", "s")
    rate = _mean(report, f"{kind}_throughput_min_over_ranks", "gib_per_s")
    dlio_s = report[f"{kind}_duration_dlio_rank_0_mean_s"]
    dlio_rate = report[f"{kind}_throughput_dlio_rank_0_mean_gib_per_s"]
    lines = [
        _row(f"{name}, slowest rank", f"{rate} GiB/s, {duration} s  ({times})"),
        _row(f"{name}, as DLIO (rank 0)", f"{dlio_rate:.3f} GiB/s, {dlio_s:.3f} s"),
    ]
    if kind == "load":
        lines.append(_row("page cache", _page_cache(report["page_cache"])))
    else:
        lines.append(_row("durability", _durability(report["storage"])))
    return lines


def _durability(storage: dict[str, Any]) -> str:
    if storage["backend"] not in ("file", "directio"):
        return "the service acknowledged each file; what it syncs is its own affair"
    return "each file was synced" if storage["fsync"] else "not synced: it may be in memory only"


def _mean(report: dict[str, Any], name: str, unit: str) -> str:
    mean, stdev = report[f"{name}_mean_{unit}"], report[f"{name}_stdev_{unit}"]
    spread = f" +/- {stdev:.3f}" if report[f"{name.partition('_')[0]}_count"] > 1 else ""
    return f"{mean:.3f}{spread}"


def _page_cache(found: dict[str, Any]) -> str:
    text = PAGE_CACHE_STATES[found["state"]]
    share = found["resident_before_reading"]
    return text if share is None else f"{text}: {share:.0%} of the files were in it"


def _row(label: str, value: str) -> str:
    return f"  {label:<25} {value}"


def render_plan(layout: Layout, title: str) -> str:
    """Return the sizes of one checkpoint by rank and kind; ranks that write alike share a line."""
    groups = _alike(layout)
    shown = groups if len(groups) <= _ALIKE_SHOWN else [*groups[: _ALIKE_SHOWN - 1], groups[-1]]
    rows = [_sizes(_span(ranks), layout.size_of(ranks[0]), len(ranks)) for ranks in shown]
    if len(shown) < len(groups):
        left_out = f"... {len(groups) - len(shown)} more lines"
        rows.insert(-1, (left_out, "", "", "", ""))
    rows.append(_sizes(f"all {layout.ranks}", layout.total, 1))
    header = ("rank", "model GiB", "optimizer GiB", "GiB", "files")
    return f"{title}\n\n{table(header, rows)}"


def _alike(layout: Layout) -> list[range]:
    """Return the runs of neighbours that write as much as each other."""
    runs: list[range] = []
    for rank in range(layout.ranks):
        if runs and layout.size_of(runs[-1][0]) == layout.size_of(rank):
            runs[-1] = range(runs[-1][0], rank + 1)
        else:
            runs.append(range(rank, rank + 1))
    return runs


def _span(ranks: range) -> str:
    return str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"


def _sizes(name: str, size: RankSize, ranks: int) -> tuple[str, ...]:
    each = " each" if ranks > 1 else ""
    values = (size.model_bytes, size.optimizer_bytes, size.total_bytes)
    return (name, *(f"{value / GIB:,.4f}{each}" for value in values), f"{size.files:,}{each}")


def plan_title(name: str, layout: Layout) -> str:
    """Return the line above a plan."""
    spread = layout.parallelism
    copies = format_count(spread.data, "copy").replace("copys", "copies")
    return (
        f"{name} on {format_count(layout.ranks, 'rank')}: tensor parallelism {spread.tensor}, "
        f"pipeline {spread.pipeline}, {copies}, ZeRO stage {spread.zero_stage}"
    )
