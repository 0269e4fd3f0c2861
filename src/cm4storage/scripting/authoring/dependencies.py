"""Which recipes a recipe can need, whatever variations will be on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.records import dataclass
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.scripting.metadata import Dependency, Recipe

PHASES = ("deps", "prehook_deps", "posthook_deps", "post_deps")


@dataclass(frozen=True)
class Needed:
    """One dependency, with the phase and the variation or version that it belongs to.

    Parameters
    ----------
    number : int
        Its place in the list.
    recipe : Recipe or None
        The neighbour that it means; None for a recipe of another repository.
    """

    dependency: Dependency
    phase: str
    variation: str
    version: str
    number: int
    recipe: Recipe | None

    @property
    def place(self) -> tuple[str | int, ...]:
        """The dependency's place in the metadata."""
        if self.variation:
            return ("variations", self.variation, self.phase, self.number)
        if self.version:
            return ("versions", self.version, self.phase, self.number)
        return (self.phase, self.number)


def dependencies_of(recipe: Recipe, neighbours: Sequence[Recipe]) -> Iterator[Needed]:
    """Yield what `recipe` can need, phase by phase."""
    names = [("", ""), *((name, "") for name in recipe.variations)]
    names += [("", name) for name in recipe.versions]
    for phase in PHASES:
        for (variation, version), layer in zip(names, recipe.all_layers, strict=True):
            for number, dependency in enumerate(getattr(layer, phase)):
                meant = _meant(dependency, neighbours)
                yield Needed(dependency, phase, variation, version, number, meant)


def _meant(dependency: Dependency, neighbours: Sequence[Recipe]) -> Recipe | None:
    query = Query.parse(dependency.tags)
    fitting = [each for each in neighbours if frozenset(query.tags) <= frozenset(each.tags)]
    exact = [each for each in fitting if frozenset(query.tags) == frozenset(each.tags)]
    found = exact or fitting
    return found[0] if len(found) == 1 else None
