"""What the recipes get that a recipe runs after its own key is known.

A hit skips them, so their code and whatever reaches them from outside belong to the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import digest
from cm4storage.core.records import dataclass, field
from cm4storage.scripting.environment import matches_any
from cm4storage.scripting.metadata_files import nothing
from cm4storage.scripting.reach import known_inputs, reachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.catalog import RecipeCatalog
    from cm4storage.scripting.keys import Fingerprints
    from cm4storage.scripting.metadata import Dependency
    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.reach import Reach


@dataclass(frozen=True)
class Later:
    """What reaches the recipes that run after the look-up.

    Parameters
    ----------
    code : Mapping
        Alias -> digest of the code of the recipes.
    calls : Mapping
        Names or tags of a dependency -> its tags, env and versions, as they were asked for.
    changes : Mapping
        What ``--adr`` and ``--ad`` say about them.
    inputs : Mapping
        The inputs that are passed on to them.
    variables : frozenset of str
        The variables of the environment that they look at.
    takes_state : bool
        Whether one of them may look at anything that is in the state.
    doubt : str
        Why this is not all; "" if it is.
    """

    code: Mapping[str, str] = field(default_factory=nothing)
    calls: Mapping[str, Any] = field(default_factory=nothing)
    changes: Mapping[str, Any] = field(default_factory=nothing)
    inputs: Mapping[str, Any] = field(default_factory=nothing)
    variables: frozenset[str] = frozenset()
    takes_state: bool = False
    doubt: str = ""


def later_of(catalog: RecipeCatalog, prepared: Prepared, fingerprints: Fingerprints) -> Later:
    """Return what is known of the recipes that run after the look-up for `prepared`."""
    phases = prepared.dependencies.items()
    later = [dep for phase, deps in phases if phase != "deps" for dep in deps]
    if not later:
        return Later()
    changes = prepared.add_deps_recursive
    reach = reachable(catalog, prepared.recipe.repository, later, changes)
    volatile = {key for recipe in reach.recipes for key in recipe.volatile_env_keys}
    takes_all = any(not _declares(recipe.all_layers) for recipe in reach.recipes)
    names = set(prepared.env) if takes_all else reach.variables
    return Later(
        code=_code(reach, fingerprints),
        calls=_calls(later),
        changes=_given_changes(prepared, reach),
        inputs=_passed_on(prepared, reach),
        variables=frozenset(name for name in names if not matches_any(name, volatile)),
        takes_state=takes_all,
        doubt="" if reach.is_complete else "which recipes it runs later is not known before",
    )


def _code(reach: Reach, fingerprints: Fingerprints) -> dict[str, str]:
    """Return the digests by alias; a second recipe of one alias, of another repository, by uid."""
    found: dict[str, str] = {}
    for recipe in reach.recipes:
        name = recipe.alias if recipe.alias not in found else f"{recipe.alias},{recipe.uid}"
        found[name] = digest(dict(fingerprints.code(recipe)))
    return found


def _calls(later: list[Dependency]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for dependency in later:
        name = ",".join(dependency.names) or ",".join(dependency.tags)
        found.setdefault(name, []).append(
            {
                "tags": ",".join(dependency.tags),
                "env": {key: str(value) for key, value in dependency.env.items()},
                "versions": [dependency.version, dependency.version_min, dependency.version_max],
            }
        )
    return {name: {str(n): call for n, call in enumerate(calls)} for name, calls in found.items()}


def _given_changes(prepared: Prepared, reach: Reach) -> dict[str, Any]:
    known = reach.dependency_names
    given = (("adr", prepared.add_deps_recursive), ("ad", prepared.call.add_deps))
    return {
        f"{kind}.{name}": digest(dict(update))
        for kind, updates in given
        for name, update in updates.items()
        if name in known
    }


def _passed_on(prepared: Prepared, reach: Reach) -> dict[str, Any]:
    if not prepared.inputs:
        return {}
    known = set().union(*(known_inputs(recipe, reach) for recipe in reach.recipes))
    return {name: value for name, value in prepared.inputs.items() if name in known}


def _declares(layers: tuple[Any, ...]) -> bool:
    return any(layer.declares_inputs for layer in layers)
