"""The results of a sweep in one place: a table, a CSV file, records for CM, and a page."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.files import write_json_atomically, write_text_atomically
from cm4storage.results import stalls
from cm4storage.results.cm_records import cm_record, write_cm_records
from cm4storage.results.comparing.samples import Samples
from cm4storage.workload.schema import canonical_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cm4storage.sweep.plan import Point, Pool

SCHEMA = "cm4storage.sweep"
VERSION = 2

FIGURES = {
    "au_mean_percent": "AU, %",
    "throughput_samples_per_sec": "samples/s",
    "read_mib_per_s": "MiB/s",
    "p99_latency_ms": "wait P99, ms",
}
"""What the table shows, and its heading."""

_COLUMNS = (
    *("au_mean_percent", "au_stdev_percent", "au_met", "throughput_samples_per_sec"),
    *("throughput_stdev_samples_per_sec", "read_mib_per_s", "read_stdev_mib_per_s"),
    *("p50_latency_ms", "p95_latency_ms", "p99_latency_ms"),
    *("io_p50_latency_ms", "io_p95_latency_ms", "io_p99_latency_ms"),
    *("total_samples", "total_bytes", "total_execution_time_secs", "retries", "start"),
    *stalls.RUN_COLUMNS,
)


@dataclass(frozen=True)
class Row:
    """All runs at one combination of values.

    Attributes
    ----------
    values : dict
        By key.
    runs : int
        How many of them are finished.
    figures : dict
        By field; None where no run has it.
    reached : int
        How many runs reached the threshold of the utilization.
    """

    values: dict[str, str]
    runs: int
    figures: dict[str, Samples | None]
    reached: int


@dataclass(frozen=True)
class Results:
    """The finished points of a sweep, and their reports."""

    finished: list[tuple[Point, dict[str, Any]]]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, points: Sequence[Point], pool: Pool) -> Results:
        """Return the results of those points that are finished."""
        reports = [(point, pool.report(point)) for point in points]
        finished = [(point, report) for point, report in reports if report is not None]
        return cls(finished, tuple(points[0].values))

    def rows(self) -> list[Row]:
        """Return one row for each combination, in the order of the sweep."""
        groups: dict[tuple[str, ...], list[tuple[Point, dict[str, Any]]]] = {}
        for point, report in self.finished:
            groups.setdefault(tuple(point.values.values()), []).append((point, report))
        return [_row(group) for group in groups.values()]

    def write(self, folder: Path, page: str) -> None:
        """Write all files of the sweep into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomically(folder / "sweep.json", self._document())
        write_text_atomically(folder / "sweep.csv", self._csv())
        write_cm_records([_record(*each) for each in self.finished], folder)
        write_text_atomically(folder / "sweep.html", page)

    def _document(self) -> dict[str, Any]:
        points = [
            {
                "values": _plain(point, report),
                "repeat": point.repeat,
                "key": point.key,
                "report": report,
            }
            for point, report in self.finished
        ]
        return {"schema": SCHEMA, "version": VERSION, "keys": list(self.keys), "points": points}

    def _csv(self) -> str:
        """Return one row for each run."""
        stream = io.StringIO()
        columns = [*self.keys, "repeat", "point", *_COLUMNS]
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for point, report in self.finished:
            own = {"repeat": point.repeat, "point": point.key}
            writer.writerow(report | point.values | own)
        return stream.getvalue()


def _record(point: Point, report: dict[str, Any]) -> dict[str, Any]:
    own = {"repeat": point.repeat, "uid": point.key}
    return {**cm_record(report), **_plain(point, report), **own}


def _plain(point: Point, report: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a point by key, as the workload has them: numbers are no texts."""
    settings = report["settings"]
    return {key: settings.get(canonical_path(key), text) for key, text in point.values.items()}


def _row(group: list[tuple[Point, dict[str, Any]]]) -> Row:
    reports = [report for _, report in group]
    figures = {}
    for field in FIGURES:
        known = [report[field] for report in reports if report[field] is not None]
        figures[field] = Samples.of(known) if known else None
    reached = sum(bool(report["au_met"]) for report in reports)
    return Row(group[0][0].values, len(group), figures, reached)


def headings(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the headings of the table."""
    return (*keys, "runs", *FIGURES.values(), "reached AU")


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of a row of the table."""
    return (
        *row.values.values(),
        str(row.runs),
        *(shown(samples) for samples in row.figures.values()),
        f"{row.reached} of {row.runs}",
    )


def shown(samples: Samples | None) -> str:
    """Return mean and spread."""
    if samples is None:
        return "-"
    spread = "" if samples.stdev is None else f" +/- {samples.stdev:,.3g}"
    mean = samples.mean
    return f"{mean:,.0f}{spread}" if abs(mean) >= 1000 else f"{mean:.4g}{spread}"
