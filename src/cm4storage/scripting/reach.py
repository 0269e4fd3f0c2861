"""Which recipes a recipe may bring, told from metadata alone, whatever conditions will say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.canonical import digest
from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.scripting.metadata import parse_layer
from cm4storage.scripting.prepare import PHASES
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.scripting.catalog import RecipeCatalog, Summary
    from cm4storage.scripting.keys import Fingerprints
    from cm4storage.scripting.metadata import Dependency, Layer, Recipe


def all_layers(recipe: Recipe) -> Iterator[Layer]:
    """Yield the layers of a recipe, its variations and its versions."""
    yield recipe.layer
    for name, variation in recipe.variations.items():
        yield parse_layer(recipe, f"variations.{name}", variation.raw)
    for name, raw in recipe.versions.items():
        yield parse_layer(recipe, f"versions.{name}", raw)


def reachable(
    catalog: RecipeCatalog, repository: str, dependencies: Iterable[Dependency]
) -> dict[str, Recipe]:
    """Return uid -> recipe of all that the dependencies may bring, at any depth."""
    found: dict[str, Recipe] = {}
    waiting = [(repository, dependency) for dependency in dependencies]
    while waiting:
        asking, dependency = waiting.pop()
        for summary in _candidates(catalog, asking, dependency):
            if summary.uid not in found:
                recipe = catalog.load(summary)
                found[summary.uid] = recipe
                waiting += [(recipe.repository, dep) for dep in _dependencies(recipe)]
    return found


def known_inputs(catalog: RecipeCatalog, recipe: Recipe) -> set[str]:
    """Return the inputs that a recipe or one that it may bring maps."""
    below = reachable(catalog, recipe.repository, _dependencies(recipe))
    return {
        name
        for known in (recipe, *below.values())
        for layer in all_layers(known)
        for name in layer.input_mapping
    }


def code_below(
    catalog: RecipeCatalog,
    repository: str,
    dependencies: Iterable[Dependency],
    fingerprints: Fingerprints,
) -> dict[str, str]:
    """Return alias -> digest of the code of the recipes that the dependencies may bring."""
    below = reachable(catalog, repository, dependencies)
    return {recipe.alias: digest(dict(fingerprints.code(recipe))) for recipe in below.values()}


def _dependencies(recipe: Recipe) -> list[Dependency]:
    return [
        dependency
        for layer in all_layers(recipe)
        for phase in PHASES
        for dependency in getattr(layer, phase)
    ]


def _candidates(
    catalog: RecipeCatalog, repository: str, dependency: Dependency
) -> Iterable[Summary]:
    # Tags that come from the environment only narrow the choice.
    query = Query.parse([tag for tag in dependency.tags if "<<<" not in tag and "#" not in tag])
    try:
        return [catalog.find(query, repository)]
    except StorageBenchmarkError:
        return catalog.matching(query) if query.tags else []
