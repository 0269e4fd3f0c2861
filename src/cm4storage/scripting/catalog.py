"""Which recipes there are, and which one a query means.

The index (index.py) knows the tags and variations; the metadata of a recipe is read when it is
chosen, and the index made anew should it say something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.scripting.index import RecipeIndex, Repository, Summary
from cm4storage.scripting.metadata import Recipe, parse_recipe
from cm4storage.scripting.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cm4storage.scripting.query import Query


class RecipeCatalog:
    """The recipes of all repositories.

    Parameters
    ----------
    repositories : sequence of Repository
        In order of precedence: of two recipes with one uid the first is taken.
    index_file : str
        Where the index is kept. A missing, damaged or unwritable one only costs time.
    warn : callable
        Takes one line about a recipe that cannot be read.
    """

    def __init__(
        self, repositories: Sequence[Repository], index_file: str, warn: Callable[[str], None]
    ) -> None:
        self.takes_first = False
        self._index = RecipeIndex(repositories, index_file, warn)
        self._recipes: dict[str, Recipe] = {}
        self._is_renewed = False
        self._found: dict[tuple[Query, str, bool], Summary] = {}

    @property
    def recipes(self) -> list[Summary]:
        """All recipes."""
        return self._index.summaries()

    def load(self, summary: Summary) -> Recipe:
        """Return the whole metadata of a recipe."""
        if summary.place not in self._recipes:
            self._recipes[summary.place] = parse_recipe(summary.place, summary.repository)
        return self._recipes[summary.place]

    def matching(self, query: Query) -> list[Summary]:
        """Return the recipes that a query fits, whatever their variations."""
        if query.name:
            named = self._index.summaries(f"\t{query.name}\t")
            return [r for r in named if query.name in (r.alias, r.uid)]
        wanted, unwanted = frozenset(query.tags), frozenset(query.without_tags)
        rarest = max(query.tags, key=len, default="")
        tagged = self._index.summaries(f",{rarest}," if rarest else "")
        return [r for r in tagged if wanted <= r.tags and not unwanted & r.tags]

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
        asked = (query, repository, is_dependency)
        if asked not in self._found:
            self._found[asked] = self._find(query, repository, is_dependency=is_dependency)
        return self._found[asked]

    def _find(self, query: Query, repository: str, *, is_dependency: bool) -> Summary:
        try:
            chosen = self._choose(query, repository, is_dependency=is_dependency)
            if self._is_renewed or frozenset(self.load(chosen).tags) == chosen.tags:
                return chosen
        except UserError:
            if self._is_renewed:
                raise
        # A _cm.json beside the _cm.yaml is not looked for by every call.
        self._is_renewed = True
        self._index.renew()
        return self._choose(query, repository, is_dependency=is_dependency)

    def _choose(self, query: Query, repository: str, *, is_dependency: bool) -> Summary:
        found = self.matching(query)
        if not found:
            raise self._not_found(query)
        if len(found) == 1:
            return found[0]
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
