"""Runs as a table: which columns there are, of which kind, and which are shown at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cm4storage.results.collecting.catalogue import METRICS, Better

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cm4storage.results.collecting.model import CollectedRun, Collection, Value

Group = Literal["run", "parameter", "metric"]

IDENTITY = {
    "round": "Round",
    "division": "Division",
    "submitter": "Submitter",
    "system": "System",
    "workload": "Workload",
    "model": "Model",
    "accelerator": "Accelerator",
    "scale": "Scale",
    "verification": "Verification",
    "formula": "Formula",
}
_TAKEN = {*IDENTITY, "run", "source", "kind", "state", "recomputed", "why"}
_TAKEN |= {metric.key for metric in METRICS}
_USUAL_METRICS = (
    *("au_mean_percent", "samples_per_s", "nominal_mib_per_s", "read_mib_per_s", "wait_p99_ms"),
    *("save_gib_per_s", "load_gib_per_s"),
)
_MOST_PARAMETERS_SHOWN = 5
_OF_PLACES = ("folder", "root", "seed", "data_size", "host_cpu", "endpoint_url")
_FIRST_SECTIONS = ("reader", "num_accelerators", "num_hosts", "storage", "dataset", "train")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    key, title, unit : str
    group : {'run', 'parameter', 'metric'}
    is_number : bool
        Whether every value is a number.
    better : {'more', 'less', ''}
    is_shown : bool
        Whether it is shown before anyone chooses.
    """

    key: str
    title: str
    group: Group
    is_number: bool
    unit: str = ""
    better: Better = ""
    is_shown: bool = False

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True)
class Table:
    """All runs by all columns.

    Attributes
    ----------
    columns : list of Column
    rows : list of list
        None where a run has no such value.
    common : dict
        Parameters that are the same in all of several runs; they are no columns.
    """

    columns: list[Column]
    rows: list[list[Value | None]]
    common: dict[str, Value]

    @property
    def shown(self) -> list[int]:
        """The places of the columns that are shown at first."""
        return [place for place, column in enumerate(self.columns) if column.is_shown]


def table_of(collection: Collection) -> Table:
    """Return the runs of a collection as a table."""
    records = [_record(run) for run in collection.runs]
    keys = list(dict.fromkeys(key for run in collection.runs for key in run.parameters))
    keys = [key for key in keys if key not in _TAKEN]
    common = _common(collection.runs, keys)
    varied = sorted(key for key in keys if key not in common)
    columns = [*_identity_columns(records), *_parameter_columns(records, varied)]
    columns += [*_metric_columns(records), *_state_columns(records)]
    rows = [[record.get(column.key) for column in columns] for record in records]
    return Table(columns, rows, dict(sorted(common.items())))


def _record(run: CollectedRun) -> dict[str, Value]:
    """Return everything that is known of a run by the keys of columns."""
    why = "; ".join((*run.problems, *run.recomputation.reasons))
    return {
        **run.parameters,
        **run.metrics,
        **run.identity,
        "run": run.name,
        "source": run.source,
        "kind": run.kind,
        "state": run.state,
        "recomputed": run.recomputation.verdict,
        **({"why": why} if why else {}),
    }


def _common(runs: Sequence[CollectedRun], keys: Sequence[str]) -> dict[str, Value]:
    if len(runs) < 2:
        return {}
    common = {}
    for key in keys:
        first = runs[0].parameters.get(key)
        if first is not None and all(run.parameters.get(key) == first for run in runs):
            common[key] = first
    return common


def _identity_columns(records: Sequence[Mapping[str, Value]]) -> list[Column]:
    columns = [Column("run", "Run", "run", False, is_shown=True)]
    for key, title in IDENTITY.items():
        if any(key in record for record in records):
            is_told = key in {"submitter", "system", "workload"} and _varies(records, key)
            columns.append(Column(key, title, "run", False, is_shown=is_told))
    return columns


def _state_columns(records: Sequence[Mapping[str, Value]]) -> list[Column]:
    columns = [
        Column("source", "Source", "run", False),
        Column("kind", "Kind", "run", False, is_shown=_varies(records, "kind", "unknown")),
        Column("state", "State", "run", False, is_shown=True),
        Column("recomputed", "Recomputed", "run", False, is_shown=True),
    ]
    if any("why" in record for record in records):
        columns.append(Column("why", "Remarks", "run", False))
    return columns


def _varies(records: Sequence[Mapping[str, Value]], key: str, *passed_by: Value) -> bool:
    """Tell whether two runs have different values; runs without one are passed by."""
    return len({record[key] for record in records if key in record} - {*passed_by}) > 1


def _varies_within_a_workload(records: Sequence[Mapping[str, Value]], key: str) -> bool:
    """Tell whether it was changed for its own sake, and not with the workload."""
    found: dict[Value | None, set[Value]] = {}
    for record in records:
        if key in record:
            found.setdefault(record.get("workload"), set()).add(record[key])
    return any(len(values) > 1 for values in found.values())


def _parameter_columns(records: Sequence[Mapping[str, Value]], keys: Sequence[str]) -> list[Column]:
    varied = [key for key in keys if _varies(records, key)]
    telling = [key for key in varied if not any(word in key for word in _OF_PLACES)]
    swept = {key for key in telling if _varies_within_a_workload(records, key)}
    ordered = sorted(telling, key=lambda key: (key not in swept, *_place(key)))
    shown = set(ordered[:_MOST_PARAMETERS_SHOWN])
    return [
        Column(key, key, "parameter", _are_numbers(records, key), is_shown=key in shown)
        for key in keys
    ]


def _place(key: str) -> tuple[int, str]:
    section = key.partition(".")[0]
    first = _FIRST_SECTIONS
    return (first.index(section) if section in first else len(first), key)


def _are_numbers(records: Sequence[Mapping[str, Value]], key: str) -> bool:
    known = [record[key] for record in records if key in record]
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in known)


def _metric_columns(records: Sequence[Mapping[str, Value]]) -> list[Column]:
    known = {key for record in records for key in record}
    return [
        Column(
            metric.key, metric.title, "metric", True,
            unit=metric.unit, better=metric.better, is_shown=metric.key in _USUAL_METRICS,
        )
        for metric in METRICS if metric.key in known
    ]  # fmt: skip
