"""Which recipes there are, and which one a query means.

The tags of every recipe stand in an index file. Each metadata file is looked at (``stat``) on
every call, so that an edited, new or removed recipe is seen at once, but parsed only when it
changed.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import canonical_json
from cm4storage.core.errors import InternalError, StorageBenchmarkError, UserError
from cm4storage.scripting.metadata import (
    METADATA_FILES,
    Recipe,
    file_stamp,
    parse_recipe,
    read_metadata,
)
from cm4storage.scripting.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cm4storage.scripting.query import Query

_INDEX_FORMAT = 1


@dataclass(frozen=True)
class Repository:
    """A repository of recipes: its alias and the folder that holds ``script/``."""

    alias: str
    folder: Path


@dataclass(frozen=True)
class Summary:
    """What selection needs to know about a recipe."""

    alias: str
    uid: str
    tags: frozenset[str]
    variations: frozenset[str]
    place: str
    repository: str

    @property
    def folder(self) -> Path:
        """The recipe's folder."""
        return Path(self.place)


class RecipeCatalog:
    """The recipes of all repositories.

    Parameters
    ----------
    repositories : sequence of Repository
        In order of precedence: of two recipes with one uid the first is taken.
    index_file : Path
        Where the index is kept. A missing, damaged or unwritable one only costs time.
    warn : callable
        Takes one line about a recipe that cannot be read.
    """

    def __init__(
        self, repositories: Sequence[Repository], index_file: Path, warn: Callable[[str], None]
    ) -> None:
        self._repositories = repositories
        self._index_file = index_file
        self._warn = warn
        self.takes_first = False
        self._known: tuple[Summary, ...] | None = None
        self._recipes: dict[Path, Recipe] = {}

    @property
    def recipes(self) -> tuple[Summary, ...]:
        """All recipes, scanned on first use."""
        if self._known is None:
            self._known = self._scan()
        return self._known

    def load(self, summary: Summary) -> Recipe:
        """Return the whole metadata of a recipe."""
        if summary.folder not in self._recipes:
            self._recipes[summary.folder] = parse_recipe(summary.folder, summary.repository)
        return self._recipes[summary.folder]

    def matching(self, query: Query) -> list[Summary]:
        """Return the recipes that a query fits, whatever their variations."""
        if query.name:
            return [r for r in self.recipes if query.name in (r.alias, r.uid)]
        wanted, unwanted = frozenset(query.tags), frozenset(query.without_tags)
        return [r for r in self.recipes if wanted <= r.tags and not unwanted & r.tags]

    def find(self, query: Query, repository: str, *, is_dependency: bool = True) -> Summary:
        """Return the one recipe that `query` means.

        Where several fit, these decide: the recipes of `repository`, those that know the
        variations asked for, the one whose tags are exactly those asked for. The repository comes
        first for a dependency, which is written with its neighbours in mind, and last for a user.

        With `takes_first` (``--quiet``) the first of several is taken: the one of the smallest
        ``sort``, then by the folder's name.

        Raises
        ------
        UserError
            If none or several are left; names the nearest.
        """
        found = self.matching(query)
        if not found:
            raise self._not_found(query)
        near = [r for r in found if r.repository == repository]
        able = [r for r in found if all(knows_variation(r, name) for name in query.variations)]
        exact = [r for r in found if r.tags == frozenset(query.tags)]
        for preferred in (near, able, exact) if is_dependency else (able, exact, near):
            found = [r for r in found if r in preferred] or found
        if len(found) > 1 and self.takes_first:
            return min(found, key=self._rank)
        if len(found) > 1:
            raise _ambiguous(query, found)
        return found[0]

    def _rank(self, recipe: Summary) -> tuple[int, str]:
        """Return what orders recipes between which nobody decides: the metadata's own number."""
        return int(self.load(recipe).raw.get("sort") or 0), recipe.place

    def _not_found(self, query: Query) -> UserError:
        if query.name:
            near = nearest(query.name, [r.alias for r in self.recipes], likeness=0.5)
            what = f"no recipe is called {query.name!r}"
            return UserError(what, advice=f"did you mean {near}?" if near else "")
        known = {tag for recipe in self.recipes for tag in recipe.tags}
        unknown = [tag for tag in query.tags if tag not in known]
        corrected = [nearest(tag, known) or tag for tag in query.tags]
        lines = [recipe_line(r) for r in self._nearest_recipes(corrected)]
        return UserError(
            f"no recipe has all of these tags: {','.join(query.tags)}",
            meaning=f"no recipe has the tag {', '.join(unknown)}" if unknown else "",
            advice="nearest recipes:\n" + "\n".join(lines) if lines else "cm find script lists all",
        )

    def _nearest_recipes(self, tags: Iterable[str]) -> list[Summary]:
        wanted = frozenset(tags)
        ranked = sorted(self.recipes, key=lambda r: (-len(wanted & r.tags), len(r.tags)))
        return [r for r in ranked if wanted & r.tags][:3]

    def _scan(self) -> tuple[Summary, ...]:
        index = self._read_index()
        fresh: dict[str, Any] = {}
        by_uid: dict[str, Summary] = {}
        for repository in self._repositories:
            for place, stamp in _metadata_stamps(repository.folder / "script"):
                line = index.get(place)
                if line is None or line[0] != stamp:
                    line = self._index_line(Path(place), stamp)
                fresh[place] = line
                summary = _summary(place, repository.alias, line)
                if summary is not None:
                    by_uid.setdefault(summary.uid, summary)
        if fresh != index:
            self._write_index(fresh)
        return tuple(by_uid.values())

    def _index_line(self, folder: Path, stamp: list[int]) -> list[Any]:
        try:
            raw = read_metadata(folder)
            recipe = parse_recipe(folder, "")
        except StorageBenchmarkError as error:
            self._warn(f"this recipe is left out: {error}")
            return [[], "", "", [], []]  # without a stamp: looked at again by the next call
        if raw.get("automation_alias", "script") != "script" or not recipe.uid:
            return [stamp, "", "", [], []]
        return [stamp, recipe.alias, recipe.uid, sorted(recipe.tags), sorted(recipe.variations)]

    def _read_index(self) -> dict[str, Any]:
        try:
            index = json.loads(self._index_file.read_text(encoding="utf-8"))
            return dict(index["recipes"]) if index["format"] == _INDEX_FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write_index(self, recipes: dict[str, Any]) -> None:
        # Not synced to disk: the index may be lost at any time.
        text = canonical_json({"format": _INDEX_FORMAT, "recipes": recipes})
        temporary = self._index_file.with_name(f"{self._index_file.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._index_file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._index_file)


def knows_variation(recipe: Summary | Recipe, name: str) -> bool:
    """Tell whether a recipe has a variation, dynamic ones (``x.#``) included."""
    return name in recipe.variations or dynamic_name(name) in recipe.variations


def dynamic_name(name: str) -> str:
    """Return the name under which metadata declares ``x.VALUE``: ``x.#``."""
    head, dot, _ = name.partition(".")
    return f"{head}.#" if dot else ""


def recipe_line(recipe: Summary) -> str:
    """Return a line that shows a recipe to a person."""
    return f"{','.join(sorted(recipe.tags))}  ({recipe.alias} in {recipe.repository})"


def _ambiguous(query: Query, found: Sequence[Summary]) -> UserError:
    return UserError(
        f"{len(found)} recipes have these tags: {','.join(query.tags)}",
        advice="add a tag that only the wanted one has (or --quiet to take the first):\n"
        + "\n".join(map(recipe_line, found)),
    )


def _metadata_stamps(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the folder of each recipe, and what changes when its metadata is edited."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - texts: there may be thousands
    except OSError:
        return
    for name in names:
        place = f"{folder}/{name}"
        stamp: list[int] = []
        for file in METADATA_FILES:
            try:
                stamp += file_stamp(f"{place}/{file}")
            except OSError:
                continue
        if stamp:
            yield place, stamp


def _summary(place: str, repository: str, line: list[Any]) -> Summary | None:
    try:
        _, alias, uid, tags, variations = line
    except ValueError as error:
        raise InternalError("the index of recipes is damaged", where=place) from error
    if not uid:
        return None
    return Summary(alias, uid, frozenset(tags), frozenset(variations), place, repository)
