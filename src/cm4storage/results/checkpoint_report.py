"""``report.json`` and ``report.csv`` of a run that writes and reads checkpoints."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import redact_urls
from cm4storage.core.units import GIB
from cm4storage.core.versions import check_version
from cm4storage.results.checkpoint_run_figures import durations, throughputs
from cm4storage.results.metrics import Spread
from cm4storage.results.report_parts import environment_fields, head_fields
from cm4storage.results.report_shape import require_shape

if TYPE_CHECKING:
    from cm4storage.results.checkpoint_records import OperationKind
    from cm4storage.results.checkpoint_run_figures import CheckpointFigures, CheckpointRunFigures

SCHEMA: Final = "cm4storage.checkpoint_report"
VERSION: Final = 2

KINDS: Final[tuple[OperationKind, ...]] = ("save", "load")


def build_report(figures: CheckpointRunFigures) -> dict[str, Any]:
    """Return the content of ``report.json``. What did not happen is null, never 0."""
    report: dict[str, Any] = redact_urls(_report(figures))
    return report


def _report(figures: CheckpointRunFigures) -> dict[str, Any]:
    record, workload = figures.record, figures.workload
    report: dict[str, Any] = {
        **head_fields(SCHEMA, VERSION, figures),
        "layout": record.layout,
        "storage": record.storage,
        "page_cache": record.page_cache,
        "checkpoint_size_bytes": figures.size_bytes,
        "checkpoint_size_gib": figures.size_bytes / GIB,
    }
    for kind in KINDS:
        report |= _figures(kind, figures.of(kind))
    return report | {
        "seed": workload.train.seed,
        "workload_digest": record.workload["digest"],
        "workload_source": record.workload["source"],
        "workload_overrides": record.workload["overrides"],
        "notes": record.workload["notes"],
        "start": record.start,
        "end": record.end,
        **environment_fields(record.environment),
    }


def _figures(kind: OperationKind, each: list[CheckpointFigures]) -> dict[str, Any]:
    """Return the rules' figures under names that say so, DLIO's beside them."""
    slowest, least = durations(each), throughputs(each)
    dlio_s = Spread.of([one.duration_rank_0_s for one in each])
    dlio_rate = Spread.of([one.throughput_rank_0_gib_per_s for one in each])
    return {
        f"{kind}_count": len(each),
        f"{kind}_duration_max_over_ranks_mean_s": slowest.mean,
        f"{kind}_duration_max_over_ranks_stdev_s": slowest.stdev,
        f"{kind}_throughput_min_over_ranks_mean_gib_per_s": least.mean,
        f"{kind}_throughput_min_over_ranks_stdev_gib_per_s": least.stdev,
        f"{kind}_duration_dlio_rank_0_mean_s": dlio_s.mean,
        f"{kind}_throughput_dlio_rank_0_mean_gib_per_s": dlio_rate.mean,
        f"{kind}_checkpoints": [asdict(one) for one in each],
    }


_NEW_IN_VERSION_2: Final = (
    *("git", "file_system", "cm4storage_version", "s3dlio_version", "dl_driver_version"),
)


def upgrade(document: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a report in the form of the current version; what an older one lacks is null.

    Parameters
    ----------
    where : str
        Where it is from, for the text of an error.

    Raises
    ------
    UserError
        If it is damaged, or a newer release wrote it.
    """
    check_version(document.get("version"), VERSION, "the report", where)
    require_shape(document, where)
    return {**dict.fromkeys(_NEW_IN_VERSION_2), **document, "version": VERSION}


_RUN_COLUMNS: Final = (
    *("benchmark_name", "scale", "comparable", "not_comparable_because"),
    *("backend", "client", "ranks", "fsync"),
    *("checkpoint_size_bytes", "workload_digest", "start", "end"),
    *(
        f"{kind}_{figure}"
        for kind in KINDS
        for figure in (
            *("count", "duration_max_over_ranks_mean_s", "duration_max_over_ranks_stdev_s"),
            "throughput_min_over_ranks_mean_gib_per_s",
            "throughput_min_over_ranks_stdev_gib_per_s",
        )
    ),
    "cm4storage_version",
)
_OPERATION_COLUMNS: Final = (
    *("kind", "number", "rank", "duration_s", "throughput_gib_per_s"),
    *("tensor_bytes", "stored_bytes", "files"),
)


def csv_of(figures: CheckpointRunFigures) -> str:
    """Return one row for the run, and one for each checkpoint that a rank wrote or read.

    A rank's throughput is the whole checkpoint over the rank's duration, as in DLIO's files.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream,
        ["row", *_RUN_COLUMNS, *_OPERATION_COLUMNS],
        extrasaction="ignore",
        lineterminator="\n",
    )
    writer.writeheader()
    report = build_report(figures)
    reasons = {"not_comparable_because": "; ".join(report["not_comparable_because"])}
    writer.writerow({"row": "run"} | report["layout"] | report["storage"] | report | reasons)
    identity = {name: report[name] for name in ("benchmark_name", "scale")}
    identity |= {name: report["storage"].get(name, "") for name in ("backend", "client")}
    for each in figures.record.operations:
        rate = {"throughput_gib_per_s": figures.size_bytes / GIB / each.duration_s}
        writer.writerow({"row": "checkpoint"} | identity | asdict(each) | rate)
    return stream.getvalue()
