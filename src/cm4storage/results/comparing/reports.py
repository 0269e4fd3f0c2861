"""Find the reports that the words of a user mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.core.reading import read_json
from cm4storage.results import checkpoint_records, checkpoint_report, figures, records
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.comparing import goldens
from cm4storage.results.record_places import record_in, run_folder_of
from cm4storage.results.report_files import build_report
from cm4storage.results.report_reading import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REPORT = "report.json"
_RECORDS = (records.FILE_NAME, checkpoint_records.FILE_NAME)


def load_all(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the reports of all runs in `paths`, in the order of their names.

    Parameters
    ----------
    paths : sequence of Path
        Each the folder of a run, a folder with runs at any depth, a ``report.json``, the record of
        a run, or a reference report.

    Raises
    ------
    UserError
        If one of them has no readable report, or one that is damaged or of a newer release.
    """
    return [report for path in paths for place in _places(path) for report in _load(place)]


def _load(place: Path) -> list[dict[str, Any]]:
    """Return the reports in a file, or that of the run in a folder.

    Raises
    ------
    UserError
        As `load_all`.
    """
    if place.is_dir() and not (place / REPORT).exists():
        return [_computed(place)]
    if place.name in _RECORDS and not place.is_dir():
        return [_computed(place.parent)]
    path = place / REPORT if place.is_dir() else place
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the report: {error}", where=str(path)) from error
    if isinstance(document, dict) and document.get("schema") == goldens.SCHEMA:
        return goldens.Golden.from_document(document, str(path)).as_reports()
    if isinstance(document, dict) and document.get("schema") == checkpoint_report.SCHEMA:
        return [checkpoint_report.upgrade(document, str(path))]
    return [upgrade(document, str(path))]


def _computed(folder: Path) -> dict[str, Any]:
    """Return the report of the run whose record is in `folder`."""
    if checkpoint_records.is_in(folder):
        record = checkpoint_records.load(folder)
        return as_read(checkpoint_report.build_report(of_checkpoint_run(record)))
    return as_read(build_report(figures.of_run(records.load(folder))))


def as_read(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report as it is when it was written and read."""
    return dict(json.loads(json.dumps(report, allow_nan=False)))


def _places(path: Path) -> Iterator[Path]:
    """Yield the runs in `path`: itself, or all folders below it that hold one."""
    if not path.exists():
        raise UserError("there is nothing of this name", where=str(path))
    if not path.is_dir() or _holds_run(path):
        yield path
        return
    files = (file for name in (REPORT, *_RECORDS) for file in path.rglob(name))
    found = sorted(set(map(run_folder_of, files)))
    runs = [folder for folder in found if not _is_hidden(folder, path)]
    if not runs:
        raise UserError(
            "there is no run in this folder",
            where=str(path),
            advice="name the folder of a run, or one with several runs of the same workload",
        )
    yield from runs


def _holds_run(folder: Path) -> bool:
    return any(record_in(folder, name).exists() for name in (REPORT, *_RECORDS))


def _is_hidden(folder: Path, root: Path) -> bool:
    """Tell whether a run is unfinished: its folder has a hidden name."""
    return any(part.startswith(".") for part in folder.relative_to(root).parts)
