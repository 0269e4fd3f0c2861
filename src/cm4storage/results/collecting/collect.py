"""Everything that trees of results hold, in one collection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from cm4storage.core.errors import UserError
from cm4storage.core.progress import NoProgress
from cm4storage.results.collecting import (
    measures,
    naming,
    own_runs,
    parameters,
    published,
    rank_files,
    recomputing,
)
from cm4storage.results.collecting.averages import BEYOND
from cm4storage.results.collecting.files import (
    UnreadableFileError,
    mapping,
    number,
    read_object,
)
from cm4storage.results.collecting.finding import find
from cm4storage.results.collecting.model import CollectedRun, Collection, Recomputation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cm4storage.core.progress import Progress
    from cm4storage.results.collecting.finding import RunFiles
    from cm4storage.results.collecting.model import Kind, State, Value

Depth = Literal["all", "summary"]
"""Whether figures are recomputed from the files of all ranks, or from summaries alone."""


def collect(
    roots: Sequence[Path], depth: Depth = "all", progress: Progress | None = None
) -> Collection:
    """Read all runs below `roots`; what cannot be read is among them, with the reason.

    Parameters
    ----------
    roots : sequence of Path
    depth : {'all', 'summary'}
        With ``summary``, the files of the ranks are left alone: they can be gigabytes.
    progress : Progress, optional

    Raises
    ------
    UserError
        If one of `roots` is no folder.
    """
    for root in roots:
        if not root.is_dir():
            raise UserError(
                "there is no such folder",
                where=str(root),
                advice="name folders with results, such as results or a published submission",
            )
    found = find(roots)
    runs = _read_all(found.runs, roots, depth, progress or NoProgress())
    reports = [published.recomputed(root, path, runs) for root, path in found.reports]
    return Collection(tuple(runs), tuple(reports), tuple(found.problems))


def _read_all(
    found: Sequence[RunFiles], roots: Sequence[Path], depth: Depth, progress: Progress
) -> list[CollectedRun]:
    runs = []
    progress.start("reading results", len(found), "run")
    try:
        for files in found:
            run = _Reading(files, depth).run(_name(files, roots))
            progress.advance(1)
            if run is not None:
                runs.append(run)
    finally:
        progress.finish()
    return runs


def _name(files: RunFiles, roots: Sequence[Path]) -> str:
    below = files.folder.relative_to(files.root)
    start = files.root.resolve().name
    if not below.parts:
        return start or str(files.root)
    return str(below) if len(roots) == 1 else f"{start}/{below}"


class _Reading:
    """One run while it is read; each file that fails adds a problem, and the rest goes on."""

    def __init__(self, files: RunFiles, depth: Depth) -> None:
        self._files = files
        self._depth = depth
        self._problems: list[str] = []
        self._record = self._read(files.record, own_runs.recorded)
        self._summary = self._read(files.summary, read_object)
        self._metadata = self._read(files.metadata, read_object)
        self._overrides: list[Any] = []

    def run(self, name: str) -> CollectedRun | None:
        """Return the run; None for a folder in which data were only generated."""
        keys = self._parameters()
        if self._only_generates(keys):
            return None
        if not self._files.summary:
            self._problems.append(self._why_no_summary())
        metrics = self._metrics()
        return CollectedRun(
            name=name,
            folder=self._files.folder,
            source="cm4storage" if self._files.record else "DLIO",
            kind=self._kind(metrics),
            state=self._state(metrics, keys),
            problems=tuple(self._problems),
            identity=self._identity(keys),
            parameters=keys,
            metrics=metrics,
            recomputation=self._recomputation(keys),
        )

    def _read(self, path: Path | None, reader: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        if path is None:
            return {}
        try:
            return reader(path)
        except UnreadableFileError as error:
            self._problems.append(str(error))
            return {}

    def _parameters(self) -> dict[str, Value]:
        """Return all parameters; what is written later in this function prevails."""
        keys = parameters.of_metadata(self._metadata) | parameters.of_summary(self._summary)
        folder = self._files.config
        try:
            self._overrides = parameters.overrides_in(folder)
            keys |= parameters.of_overrides(self._overrides)
            keys |= parameters.of_config(folder)
        except UnreadableFileError as error:
            self._problems.append(str(error))
        return keys | own_runs.parameters_of(self._record)

    def _only_generates(self, keys: Mapping[str, Value]) -> bool:
        generates = keys.get("workflow.generate_data") is True
        works = keys.get("workflow.train", True) or keys.get("workflow.checkpoint")
        asked = generates and not works
        return not self._files.has_results and (asked or _is_preparation(self._files.folder))

    def _why_no_summary(self) -> str:
        if self._files.record:
            return "there is no summary.json: its report was not written"
        return "there is no summary.json: the run did not end"

    def _metrics(self) -> dict[str, float]:
        found = measures.of_summary(self._summary)
        stats = self._stats(0)
        found |= measures.of_epoch_stats(stats)
        if measures.checkpoint_operations(stats):
            ranks = sorted(self._files.stats) if self._depth == "all" else [0]
            size_gib = found.get("checkpoint_gib", 0.0)
            if len(ranks) == (self._ranks() or len(ranks)):
                every = (self._stats(rank) for rank in ranks)
                found |= measures.of_checkpoint_stats(every, size_gib)
        if self._record and self._files.record:
            try:
                found |= own_runs.metrics_of(self._files.record, self._record)
            except UnreadableFileError as error:
                self._problems.append(str(error))
        known = {name: value for name, value in found.items() if math.isfinite(value)}
        self._problems += [f"{name}: {BEYOND}" for name in found if name not in known]
        return known

    def _stats(self, rank: int) -> dict[str, Any]:
        try:
            return read_object(self._files.stats[rank])
        except (KeyError, UnreadableFileError):
            return {}

    def _ranks(self) -> int:
        return int(number(self._summary.get("num_accelerators")) or 0)

    def _kind(self, metrics: Mapping[str, float]) -> Kind:
        if "samples_per_s" in metrics or "au_mean_percent" in metrics:
            return "training"
        if any(name.startswith(("save_", "load_")) for name in metrics):
            return "checkpointing"
        folders = {part.lower() for part in self._files.folder.parts}
        kinds: tuple[Kind, ...] = ("training", "checkpointing")
        return next((kind for kind in kinds if kind in folders), "unknown")

    def _state(self, metrics: Mapping[str, float], keys: Mapping[str, Value]) -> State:
        if not self._problems and metrics:
            return "complete"
        return "partial" if metrics or keys else "unreadable"

    def _identity(self, keys: Mapping[str, Value]) -> dict[str, str]:
        return {
            **({} if self._files.record else naming.of_files(self._files, self._metadata)),
            **naming.of_path(self._files.folder),
            **naming.of_overrides(self._overrides),
            **naming.of_metadata(self._metadata),
            **naming.of_parameters(keys),
            **own_runs.identity_of(self._record),
            **self._formula(keys),
        }

    def _formula(self, keys: Mapping[str, Value]) -> dict[str, str]:
        if self._depth != "all" or 0 not in self._files.outputs:
            return {}
        try:
            output = read_object(self._files.outputs[0])
        except UnreadableFileError:
            return {}
        found = rank_files.formula_of(output, self._stats(0), keys)
        return {"formula": found} if found else {}

    def _recomputation(self, keys: Mapping[str, Value]) -> Recomputation:
        metric = mapping(self._summary.get("metric"))
        found = recomputing.of_summary(self._summary, keys)
        found += recomputing.of_checkpoints(metric, self._stats(0))
        if self._depth == "all":
            found += rank_files.of_ranks(metric, self._files.outputs, self._ranks())
            if self._record and self._files.record:
                found += own_runs.recomputed(self._files.record, self._record)
        if not found.figures and not found.missing:
            return Recomputation((), ("it has no derived figures",))
        return found.finite


def _is_preparation(folder: Path) -> bool:
    """Tell whether this is where ``mlpstorage`` sizes or generates data."""
    return bool({"datagen", "datasize"} & {part.lower() for part in folder.parts[-3:]})
