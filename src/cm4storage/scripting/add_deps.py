"""The dependencies of a recipe's layers, and what ``add_deps`` makes of them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError
from cm4storage.core.records import replace
from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import merge
from cm4storage.scripting.metadata import DEPENDENCY_PHASES, parse_dependency

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cm4storage.scripting.metadata import Dependency, Layer, Recipe
    from cm4storage.scripting.prepare import Call


def merged_dependencies(
    recipe: Recipe, call: Call, layers: Iterable[Layer], env: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the dependencies of all layers, updated, and what is handed on to recipes below."""
    listed = list(layers)
    recursive: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for layer in listed:
        merge_updates(recursive, layer.add_deps_recursive)
        merge_updates(own, layer.add_deps)
    merge_updates(recursive, call.add_deps_recursive)
    merge_updates(own, call.add_deps)
    found = {
        phase: _joined([getattr(layer, phase) for layer in listed]) for phase in DEPENDENCY_PHASES
    }
    _refuse_unknown_names(recipe, call, found)
    for updates in (recursive, own):
        found = {
            phase: [_updated(recipe, dep, updates, env) for dep in deps]
            for phase, deps in found.items()
        }
    return {"dependencies": found, "add_deps_recursive": recursive}


def _joined(lists: Iterable[tuple[Dependency, ...]]) -> list[Dependency]:
    """Join the lists of layers; a dependency replaces an earlier layer's of its names or tags."""
    joined: list[Dependency] = []
    for deps in lists:
        from_earlier_layers = len(joined)
        for dependency in deps:
            for place in range(from_earlier_layers):
                if _is_same(joined[place], dependency):
                    joined[place] = dependency
                    break
            else:
                joined.append(dependency)
    return joined


def _is_same(earlier: Dependency, later: Dependency) -> bool:
    if later.names:
        return set(later.names) == set(earlier.names)
    return set(later.tags) == set(earlier.tags)


def merge_updates(target: dict[str, Any], updates: Mapping[str, Mapping[str, Any]]) -> None:
    """Merge updates of dependencies, by name; tags add up."""
    for name, update in updates.items():
        present = target.setdefault(name, {})
        tags = [tag for tag in (present.get("tags"), update.get("tags")) if tag]
        merge(present, copy.deepcopy(dict(update)))
        if tags:
            present["tags"] = ",".join(map(str, tags))


def _updated(
    recipe: Recipe, dependency: Dependency, updates: Mapping[str, Any], env: Mapping[str, Any]
) -> Dependency:
    """Return a dependency with what ``add_deps`` says under one of its names."""
    for name in dependency.names:
        if name not in updates:
            continue
        update = parse_dependency(recipe, f"add_deps.{name}", updates[name])
        if not takes_part(update.conditions, env):
            continue
        new_tags = [tag for tag in update.tags if tag not in dependency.tags]
        dependency = replace(
            dependency,
            tags=(*dependency.tags, *new_tags),
            env={**dependency.env, **update.env},
            version=update.version or dependency.version,
            version_min=update.version_min or dependency.version_min,
            version_max=update.version_max or dependency.version_max,
            version_max_usable=update.version_max_usable or dependency.version_max_usable,
        )
    return dependency


def _refuse_unknown_names(
    recipe: Recipe, call: Call, dependencies: Mapping[str, list[Dependency]]
) -> None:
    known = {name for deps in dependencies.values() for dep in deps for name in dep.names}
    for name in call.add_deps:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"--ad.{name}: {recipe.alias} has no dependency of that name",
                advice=f"it has: {listed}",
            )
