"""Finding runs in a tree, by the files that a run leaves rather than by the names of folders.

Layouts: ``run-1``, ``run_1``, ``runs/run1``, one folder deeper for each host, or
``training/<model>/run/<time>``; see the rules of MLPerf Storage v1.0 to v3.0.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.results.record_places import CONFIG_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN_RECORDS = ("run.json", "checkpoint_run.json")
REPORT_NAME = "mlperf_storage_report.json"

_OUTPUT = re.compile(r"(\d{1,7})_output\.json")
_STATS = re.compile(r"(?:(\d{1,7})_)?per_epoch_stats\.json")
_LOGS = ("dlio.log", "dlp.log")


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Attributes
    ----------
    root : Path
        The folder that was named, in which this run was found.
    folder : Path
    record : Path or None
        That of cm4storage.
    summary : Path or None
    outputs, stats : dict
        ``{rank}_output.json`` and ``{rank}_per_epoch_stats.json`` by rank.
    config : Path or None
        The folder with ``config.yaml`` and ``overrides.yaml``.
    metadata : Path or None
    has_log : bool
    """

    root: Path
    folder: Path
    record: Path | None
    summary: Path | None
    outputs: dict[int, Path]
    stats: dict[int, Path]
    config: Path | None
    metadata: Path | None
    has_log: bool

    @property
    def is_run(self) -> bool:
        """Whether this is a folder of a run, complete or not."""
        return bool(self.has_results or self.has_log or self.config)

    @property
    def has_results(self) -> bool:
        """Whether anything was measured here."""
        return bool(self.record or self.summary or self.outputs or self.stats)

    @property
    def is_part(self) -> bool:
        """Whether this may be what the other hosts of a run left."""
        return bool(self.outputs) and self.summary is None and self.record is None


@dataclass(frozen=True)
class Found:
    """What a tree holds.

    Attributes
    ----------
    runs : list of RunFiles
        In the order of their folders.
    reports : list of (root, path)
        The published reports over several runs.
    problems : list of str
    """

    runs: list[RunFiles]
    reports: list[tuple[Path, Path]]
    problems: list[str]


def find(roots: Iterable[Path]) -> Found:
    """Return all runs below `roots`; a folder that is named twice counts once."""
    runs: dict[Path, RunFiles] = {}
    reports: dict[Path, Path] = {}
    problems: list[str] = []
    for root in roots:
        walk = os.walk(root, onerror=lambda error: problems.append(_refused(error)))
        for name, folders, files in walk:
            folder = Path(name)
            place = folder.resolve()
            if place not in runs:
                found = _files_of(root, folder, folders, files)
                if found.is_run:
                    runs[place] = found
                if REPORT_NAME in files:
                    reports.setdefault(folder / REPORT_NAME, root)
            folders[:] = sorted(each for each in folders if not _is_passed_by(each))
    pairs = [(root, path) for path, root in reports.items()]
    return Found(_joined(list(runs.values())), pairs, problems)


def _refused(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"


def _is_passed_by(name: str) -> bool:
    return name.startswith(".") or name in CONFIG_FOLDERS


def _files_of(root: Path, folder: Path, folders: list[str], files: list[str]) -> RunFiles:
    names = sorted(files)
    summary = next((name for name in names if name.endswith("summary.json")), None)
    metadata = next((name for name in names if name.endswith("_metadata.json")), None)
    config = next((name for name in CONFIG_FOLDERS if name in folders), None)
    return RunFiles(
        root=root,
        folder=folder,
        record=_record_of(folder, folders, names),
        summary=folder / summary if summary else None,
        outputs=_by_rank(folder, names, _OUTPUT),
        stats=_by_rank(folder, names, _STATS),
        config=folder / config if config else None,
        metadata=folder / metadata if metadata else None,
        has_log=any(name in files for name in _LOGS),
    )


def _record_of(folder: Path, folders: list[str], files: list[str]) -> Path | None:
    """Return the record of cm4storage; ``cm4storage dlio`` leaves it beside the configuration."""
    here = [folder / name for name in OWN_RECORDS if name in files]
    beside = [folder / each for each in CONFIG_FOLDERS if each in folders]
    there = (place / name for place in beside for name in OWN_RECORDS)
    return next(iter(here), None) or next((path for path in there if path.is_file()), None)


def _by_rank(folder: Path, names: list[str], pattern: re.Pattern[str]) -> dict[int, Path]:
    matches = ((pattern.fullmatch(name), name) for name in names)
    return {int(match[1] or 0): folder / name for match, name in matches if match}


def _joined(runs: list[RunFiles]) -> list[RunFiles]:
    """Add to a run what its other hosts left in the folders beside it."""
    parts: dict[Path, list[RunFiles]] = {}
    for run in runs:
        if run.is_part:
            parts.setdefault(run.folder.parent, []).append(run)
    taken: set[Path] = set()
    whole = []
    for run in runs:
        beside = parts.get(run.folder.parent, []) if run.summary else []
        fitting = [part for part in beside if not part.outputs.keys() & run.outputs.keys()]
        if fitting and _is_alone(run, runs):
            taken |= {part.folder for part in fitting}
            whole.append(_with_parts(run, fitting))
        else:
            whole.append(run)
    return [run for run in whole if run.folder not in taken]


def _is_alone(run: RunFiles, runs: list[RunFiles]) -> bool:
    """Tell whether no folder beside this one has a summary too: those are runs of their own."""
    same = [each for each in runs if each.folder.parent == run.folder.parent and each.summary]
    return len(same) == 1


def _with_parts(run: RunFiles, parts: list[RunFiles]) -> RunFiles:
    outputs, stats = dict(run.outputs), dict(run.stats)
    for part in parts:
        outputs |= part.outputs
        stats = part.stats | stats
    return replace(run, outputs=outputs, stats=stats)
