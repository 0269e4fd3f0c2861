"""All recipes of a repository, read once: what can be parsed, and what was found while reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.core.records import dataclass, replace
from cm4storage.scripting.authoring.documents import (
    Document,
    recipe_documents,
    repository_documents,
)
from cm4storage.scripting.authoring.findings import Finding
from cm4storage.scripting.authoring.house_rules import read_house_rules
from cm4storage.scripting.authoring.reference_rules import check_references
from cm4storage.scripting.authoring.repository_rules import check_together
from cm4storage.scripting.authoring.rules import Subject, check_recipe, check_source
from cm4storage.scripting.authoring.sources import Source, read_source
from cm4storage.scripting.metadata import Recipe, parse_recipe
from cm4storage.scripting.metadata_files import METADATA_FILES
from cm4storage.scripting.request import is_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cm4storage.scripting.authoring.house_rules import HouseRules
    from cm4storage.scripting.authoring.selection import Selection

_BY_HAND = ", once the one that was written by hand is out of the way"


@dataclass(frozen=True)
class Examination:
    """The recipes of a repository.

    Parameters
    ----------
    selection : Selection
        Which of them are meant.
    house : HouseRules
        What the repository asks of them.
    sources : sequence of Source
        The metadata files that are YAML at all.
    subjects : sequence of Subject
        The recipes that the engine can read.
    unreadable : sequence of Finding
        Why others cannot be read.
    """

    selection: Selection
    house: HouseRules
    sources: Sequence[Source]
    subjects: Sequence[Subject]
    unreadable: Sequence[Finding]

    @property
    def recipes(self) -> list[Recipe]:
        """All recipes of the repository that can be read."""
        return [subject.recipe for subject in self.subjects]

    @property
    def chosen(self) -> list[Subject]:
        """Those that are meant."""
        return [s for s in self.subjects if s.source.folder in self.selection.chosen]

    def documents(self) -> Iterator[Document]:
        """Yield the documents of the recipes that are meant, and of the repository if it is."""
        recipes, repository = self.recipes, self.selection.repository
        for subject in self.chosen:
            yield from recipe_documents(subject.recipe, recipes, repository)
        if self.selection.is_whole:
            yield from repository_documents(recipes, repository)


def examine(selection: Selection, given: Mapping[str, Any]) -> Examination:
    """Read the recipes of a repository.

    Raises
    ------
    UserError
        If the repository's own description is malformed.
    """
    house = read_house_rules(selection.repository.folder)
    if is_on(given, "strict"):
        house = replace(house, is_strict=True)
    if is_on(given, "lenient"):
        house = replace(house, is_strict=False)
    sources: list[Source] = []
    subjects: list[Subject] = []
    unreadable: list[Finding] = []
    for folder in selection.folders:
        try:
            source = read_source(folder)
            if source.value.get("automation_alias", "script") != "script":
                continue
            sources.append(source)
            recipe = parse_recipe(folder, selection.repository.alias)
            recipe.all_layers  # noqa: B018 - parsed on first use: let what is wrong in it come out
            subjects.append(Subject(source, recipe, house))
        except StorageBenchmarkError as error:
            unreadable.append(_unreadable(folder, error))
    return Examination(selection, house, sources, subjects, unreadable)


def findings_of(examination: Examination) -> Iterator[Finding]:
    """Yield all that is wrong with the recipes that are meant."""
    chosen = examination.selection.chosen
    explained = set()
    for source in examination.sources:
        if source.folder in chosen:
            for finding in check_source(source, examination.house):
                explained.add(finding.file)
                yield finding
    for each in examination.unreadable:
        if each.file.parent in chosen and each.file not in explained:
            yield each
    for subject in examination.chosen:
        yield from check_recipe(subject)
        yield from check_references(subject, examination.recipes)
    yield from check_together(examination.chosen, examination.subjects)
    if examination.house.is_strict:
        yield from _stale(examination)


def _unreadable(folder: Path, error: StorageBenchmarkError) -> Finding:
    what = f"{error.what}: {' '.join(error.meaning.split())}" if error.meaning else error.what
    file = next((folder / n for n in METADATA_FILES if (folder / n).exists()), folder)
    return Finding(file, 1, "readable", what, error.advice or "the engine leaves the recipe out")


def _stale(examination: Examination) -> Iterator[Finding]:
    for document in examination.documents():
        if document.is_current:
            continue
        is_missing = not document.path.exists()
        yield Finding(
            document.path,
            1,
            "document-current",
            "is missing" if is_missing else "is not what the metadata says",
            f"cm doc script --repo={examination.selection.repository.alias} writes it"
            + (_BY_HAND if document.is_written_by_hand else ""),
        )
