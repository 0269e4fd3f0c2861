"""Runs of cm4storage: their records, and the reports that are held against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.results import checkpoint_records, checkpoint_report, figures, records
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.collecting import measures
from cm4storage.results.collecting.files import (
    UnreadableFileError,
    mapping,
    number,
    read_object,
    sequence,
)
from cm4storage.results.collecting.model import Figure, Recomputation
from cm4storage.results.collecting.parameters import flattened
from cm4storage.results.record_places import run_folder_of
from cm4storage.results.report_files import build_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cm4storage.results.collecting.model import Value

_REPORT = "report.json"
_DAMAGES = (*(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration),)
"""What computing figures from a record that lacks something, or has something else, ends in."""
_PARTS = {"epochs", "evaluations", "save_checkpoints", "load_checkpoints"}


def recorded(path: Path) -> dict[str, Any]:
    """Return the content of ``run.json`` or ``checkpoint_run.json``.

    Raises
    ------
    UnreadableFileError
    """
    document = read_object(path)
    if not str(document.get("schema", "")).startswith("cm4storage."):
        raise UnreadableFileError(f"{path.name} is no record of cm4storage")
    return document


def parameters_of(record: Mapping[str, Any]) -> dict[str, Value]:
    """Return the workload's keys, and where the data were."""
    found = flattened(mapping(mapping(record.get("workload")).get("settings")))
    found |= flattened({"layout": record.get("layout")})
    place = mapping(record.get("data_set")) or mapping(record.get("storage"))
    for name in ("backend", "client"):
        if isinstance(place.get(name), str) and place[name]:
            found[f"storage.{name}"] = place[name]
    return found


def identity_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the accelerator, the scale, and whether the run is comparable with others."""
    workload = mapping(record.get("workload"))
    found = {"accelerator": workload.get("accelerator"), "scale": workload.get("scale")}
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def metrics_of(path: Path, record: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of ``report.json``, or else of the record itself.

    Raises
    ------
    UnreadableFileError
        If neither can be read.
    """
    if _is_of_checkpoints(record):
        return measures.of_checkpoint_record(record)
    try:
        return measures.of_report(read_object(_report_of(path)))
    except UnreadableFileError:
        return measures.of_report(_built(path, record))


def recomputed(path: Path, record: Mapping[str, Any]) -> Recomputation:
    """Hold the figures of ``report.json`` against those that follow from the record."""
    published = _report_of(path)
    if not published.exists() and run_folder_of(path) != path.parent:
        return Recomputation()  # ``cm4storage dlio`` leaves none
    try:
        report, again = read_object(published), _built(path, record)
    except UnreadableFileError as error:
        return Recomputation((), (str(error),))
    found = [*_figures("", report, again)]
    for name in _PARTS & again.keys():
        pairs = zip(sequence(report.get(name)), again[name], strict=False)
        for place, (of_report, epoch) in enumerate(pairs, 1):
            found += _figures(f"{name}[{place}].", mapping(of_report), epoch)
    return Recomputation(tuple(found))


def _report_of(record: Path) -> Path:
    """Return where the report of a run is: beside the record, or in the folder of the run."""
    beside = record.with_name(_REPORT)
    return beside if beside.exists() else run_folder_of(record) / _REPORT


def _is_of_checkpoints(record: Mapping[str, Any]) -> bool:
    return record.get("schema") == checkpoint_records.SCHEMA


def _figures(prefix: str, report: Mapping[str, Any], again: Mapping[str, Any]) -> list[Figure]:
    """Return the figures that both documents have as numbers of the same kind."""
    return [
        Figure(f"{prefix}{name}", number(report[name]), float(value))
        for name, value in again.items()
        if isinstance(value, float) and isinstance(report.get(name), float)
    ]


def _built(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if _is_of_checkpoints(record):
            checkpoints = checkpoint_records.load(path.parent)
            return checkpoint_report.build_report(of_checkpoint_run(checkpoints))
        return build_report(figures.of_run(records.load(path.parent)))
    except UserError as error:
        raise UnreadableFileError(f"{path.name}: {error.what}") from error
    except _DAMAGES as error:
        raise UnreadableFileError(f"{path.name} lacks what a record has") from error
