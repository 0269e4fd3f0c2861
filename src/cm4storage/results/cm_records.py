"""``cm-result.json``: the flat list of records that CM's experiment viewers read.

CM keeps an experiment's results as a list of mappings without depth, each with ``uid`` and
``iso_datetime``. Its viewers take any key for an axis, and put those first that the results of
MLPerf have: ``Model``, ``Scenario``, ``SystemName``, ``framework``, ``Result``, ``Result_Units``,
``notes`` (https://github.com/mlcommons/cm4mlops, ``automation/experiment`` and ``script/gui``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import digest
from cm4storage.core.files import write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FILE_NAME = "cm-result.json"


def write_cm_records(records: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write records into `folder`."""
    write_json_atomically(folder / FILE_NAME, list(records))


def cm_record(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of a training as one record; its result is the throughput.

    There is no depth, no lists, and no value that is not known. A field of a mapping has the
    mapping's name and a dot before its own.
    """
    result = Result(
        report.get("backend_type"), report.get("throughput_samples_per_sec"), "samples/s"
    )
    return _record(report, result)


def checkpoint_cm_record(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of a run of checkpoints as one record; see `cm_record`.

    Its result is the throughput of writing, or of reading where nothing was written.
    """
    kind = "save" if report["save_count"] else "load"
    rate_gib_per_s = report[f"{kind}_throughput_min_over_ranks_mean_gib_per_s"]
    return _record(report, Result(report["storage"]["backend"], rate_gib_per_s, "GiB/s"))


@dataclass(frozen=True)
class Result:
    """What a viewer shows of a run first.

    Attributes
    ----------
    backend : str or None
    value : float or None
    units : str
    """

    backend: str | None
    value: float | None
    units: str


def _record(report: Mapping[str, Any], result: Result) -> dict[str, Any]:
    host = report.get("host") or {}
    identity = [report.get("start"), report.get("workload_digest"), host.get("hostname")]
    named = {
        "uid": digest(identity)[:16],
        "iso_datetime": report.get("start"),
        "Model": report.get("benchmark_name"),
        "Scenario": f"{result.backend} {report.get('scale')}",
        "SystemName": host.get("hostname"),
        "Result": result.value,
        "Result_Units": result.units,
        "notes": "; ".join(report.get("notes") or ()),
    }
    return {name: value for name, value in named.items() if value is not None} | dict(_flat(report))


def _flat(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in report.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (str, int, float)) and name != "notes":
            yield f"{prefix}{name}", value
