"""Which recipes a recipe may bring, told from metadata alone, whatever conditions will say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.core.records import dataclass
from cm4storage.scripting.conditions import variables
from cm4storage.scripting.environment import matches_any, placeholders
from cm4storage.scripting.metadata import DEPENDENCY_PHASES
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cm4storage.scripting.catalog import RecipeCatalog
    from cm4storage.scripting.index import Summary
    from cm4storage.scripting.metadata import Dependency, InputSpec, Recipe


@dataclass(frozen=True)
class Reach:
    """What dependencies may bring, at any depth.

    Parameters
    ----------
    recipes : sequence of Recipe
        The nearest first.
    dependencies : sequence of Dependency
        Those asked about and those of the recipes.
    is_complete : bool
        False if nothing but the environment of the run says which recipe a dependency means.
    """

    recipes: Sequence[Recipe]
    dependencies: Sequence[Dependency]
    is_complete: bool

    @property
    def dependency_names(self) -> set[str]:
        """The names by which ``--adr`` can mean a dependency."""
        return {name for dependency in self.dependencies for name in dependency.names}

    @property
    def variables(self) -> set[str]:
        """The variables that the recipes declare or that their dependencies look at."""
        declared = {name for recipe in self.recipes for name in recipe.declared}
        return declared.union(*map(_looked_at, self.dependencies))


def reachable(
    catalog: RecipeCatalog,
    repository: str,
    dependencies: Iterable[Dependency],
    updates: Mapping[str, Mapping[str, Any]],
) -> Reach:
    """Return what the dependencies may bring.

    Parameters
    ----------
    updates : Mapping
        What ``--adr`` says: name of a dependency -> its changes, of which the tags count.
    """
    found: dict[str, Recipe] = {}
    seen: list[Dependency] = []
    is_complete = True
    waiting = [(repository, dependency) for dependency in dependencies]
    while waiting:
        asking, dependency = waiting.pop(0)
        seen.append(dependency)
        candidates = list(_candidates(catalog, asking, dependency, updates))
        is_complete = is_complete and bool(candidates or not dependency.tags)
        for summary in candidates:
            if summary.uid in found:
                continue
            try:
                recipe = catalog.load(summary)
                below = all_dependencies(recipe)
            except StorageBenchmarkError:
                is_complete = False  # it says what is wrong with it when it is its turn
                continue
            found[summary.uid] = recipe
            waiting += [(recipe.repository, dep) for dep in below]
    return Reach(tuple(found.values()), tuple(seen), is_complete)


def reach_of(
    catalog: RecipeCatalog, recipe: Recipe, updates: Mapping[str, Mapping[str, Any]]
) -> Reach:
    """Return what a recipe may bring, whatever variations are on."""
    return reachable(catalog, recipe.repository, all_dependencies(recipe), updates)


def known_inputs(recipe: Recipe, reach: Reach) -> set[str]:
    """Return the inputs that `recipe` or one that it may bring maps.

    An input that only a recipe below maps, into a variable that `recipe` itself puts out, is none:
    it would be an old result that stands for the one this run makes.
    """
    outputs = tuple(key for layer in recipe.all_layers for key in layer.new_env_keys)
    return {name for name, _ in _mappings(recipe)}.union(
        name
        for below in reach.recipes
        for name, key in _mappings(below)
        if not matches_any(key, outputs)
    )


def specs_of_variables(recipe: Recipe, reach: Reach) -> dict[str, InputSpec]:
    """Return the descriptions of the inputs behind variables; the nearest recipe's counts.

    A variable that one recipe takes from inputs of several kinds is left out.
    """
    found: dict[str, InputSpec] = {}
    for known in reversed((recipe, *reach.recipes)):
        own: dict[str, list[InputSpec]] = {}
        for name, key in dict.fromkeys(_mappings(known)):
            if name in known.inputs:
                own.setdefault(key, []).append(known.inputs[name])
        found.update({key: specs[0] for key, specs in own.items() if len(specs) == 1})
        for key in [key for key, specs in own.items() if len(specs) > 1]:
            found.pop(key, None)
    return found


def all_dependencies(recipe: Recipe) -> list[Dependency]:
    """Return the dependencies of all layers of a recipe."""
    return [
        dependency
        for layer in recipe.all_layers
        for phase in DEPENDENCY_PHASES
        for dependency in getattr(layer, phase)
    ]


def _mappings(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for layer in recipe.all_layers:
        yield from layer.input_mapping.items()


def _looked_at(dependency: Dependency) -> set[str]:
    """Return the variables that decide whether and as what a dependency runs."""
    prefixed = dependency.update_tags_from_env_with_prefix.values()
    texts = (*dependency.tags, *map(str, dependency.env.values()))
    return {
        *variables(dependency.conditions),
        *dependency.update_tags_from_env,
        *(key for keys in prefixed for key in keys),
        *(key for text in texts for key in placeholders(text)),
    }


def _candidates(
    catalog: RecipeCatalog,
    repository: str,
    dependency: Dependency,
    updates: Mapping[str, Mapping[str, Any]],
) -> Iterable[Summary]:
    changes = [tag for name in dependency.names for tag in _tags(updates.get(name, {}))]
    found = list(_meant(catalog, repository, dependency.tags, dependency.update_tags_from_env))
    if changes:
        found += _meant(
            catalog, repository, (*dependency.tags, *changes), dependency.update_tags_from_env
        )
    return dict.fromkeys(found)


def _meant(
    catalog: RecipeCatalog, repository: str, tags: Sequence[str], more_tags_from: Sequence[str]
) -> Iterable[Summary]:
    known = [tag for tag in tags if "<<<" not in tag and "#" not in tag]
    query = Query.parse(known)
    # Variations that the environment fills in select no other recipe; whole tags may.
    is_open = bool(more_tags_from) or any(t[:1] not in "-_" for t in tags if t not in known)
    try:
        if not is_open:
            return [catalog.find(query, repository)]
    except StorageBenchmarkError:
        pass
    return catalog.matching(query) if query.tags else []


def _tags(update: Mapping[str, Any]) -> list[str]:
    tags = update.get("tags", "")
    return [str(tag).strip() for tag in (tags if isinstance(tags, list) else str(tags).split(","))]
