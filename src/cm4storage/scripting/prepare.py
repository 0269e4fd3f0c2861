"""From a recipe and a call to what exactly is to be run: metadata layers applied in CM's order."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cm4storage.core.records import dataclass, field, replace
from cm4storage.scripting.add_deps import merge_updates, merged_dependencies
from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import (
    LOCAL_ENV_KEYS,
    fill,
    is_unresolved,
    matches_any,
    merge,
    substitute,
)
from cm4storage.scripting.inputs import map_inputs, specs_by_variable
from cm4storage.scripting.metadata import (
    LATER_PHASES,
    ConditionalEnv,
    Dependency,
    InputSpec,
    Layer,
    Recipe,
    parse_layer,
)
from cm4storage.scripting.metadata_files import nothing
from cm4storage.scripting.query import Query
from cm4storage.scripting.request import Versions
from cm4storage.scripting.toolbox.versions import VersionLimits
from cm4storage.scripting.variations import resolve_variations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Call:
    """A request for one recipe, by a user or by the recipe that depends on it."""

    query: Query
    env: Mapping[str, Any] = field(default_factory=nothing)
    state: Mapping[str, Any] = field(default_factory=nothing)
    const: Mapping[str, Any] = field(default_factory=nothing)
    inputs: Mapping[str, Any] = field(default_factory=nothing)
    add_deps: Mapping[str, Mapping[str, Any]] = field(default_factory=nothing)
    add_deps_recursive: Mapping[str, Mapping[str, Any]] = field(default_factory=nothing)
    versions: Versions = field(default_factory=Versions)
    chain: tuple[str, ...] = ()
    repository: str = ""
    put_out: frozenset[str] = frozenset()
    is_keyed: bool = False
    """Whether a recipe above needs to know what this one's result stands for."""
    new_env_keys: tuple[str, ...] = ()
    extra_cache_tags: tuple[str, ...] = ()
    forces_cache: bool = False

    @property
    def is_top(self) -> bool:
        """Whether the user made this call."""
        return not self.chain


@dataclass
class Prepared:
    """A recipe about to run. `env` and `state` change while its phases run."""

    call: Call
    recipe: Recipe
    variations: tuple[str, ...]
    env: dict[str, Any]
    state: dict[str, Any]
    const: dict[str, Any]
    inputs: Mapping[str, Any]
    dependencies: dict[str, list[Dependency]]
    add_deps_recursive: Mapping[str, Mapping[str, Any]]
    version: str
    declared: frozenset[str] | None
    specs: Mapping[str, InputSpec]
    mapping: Mapping[str, str]
    defaults: Mapping[str, Any]
    new_env_keys: tuple[str, ...]
    new_state_keys: tuple[str, ...]
    script_name: str
    incoming: Mapping[str, Any] = field(default_factory=dict)
    put_out: frozenset[str] = frozenset()
    known_inputs: frozenset[str] = frozenset()
    known_names: frozenset[str] = frozenset()
    secret_inputs: frozenset[str] = frozenset()
    detected_tags: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def is_cached(self) -> bool:
        """Whether the result goes into the cache, as the metadata or the call says."""
        can_be = self.call.forces_cache and self.recipe.raw.get("can_force_cache")
        return self.recipe.is_cached or bool(can_be)

    @property
    def extra_cache_tags(self) -> tuple[str, ...]:
        """The tags that the call and the environment ask the entry to have."""
        env = self.call.env
        given = str(self.env.get("CM_EXTRA_CACHE_TAGS", "")).split(",")
        name = str(self.env.get("CM_NAME", "")).strip().lower()
        filled = [fill(tag, env) for tag in (*given, *self.call.extra_cache_tags)]
        found = [tag.strip() for tag in filled if tag.strip()] + ([f"name-{name}"] if name else [])
        return tuple(dict.fromkeys(found))

    @property
    def chain(self) -> tuple[str, ...]:
        """The recipes from the top to this one."""
        return (*self.call.chain, self.recipe.alias)

    @property
    def is_keyed(self) -> bool:
        """Whether the result needs a key: it is kept, or a recipe above is."""
        return self.call.is_keyed or self.is_cached or self.recipe.runs_once

    @property
    def has_code(self) -> bool:
        """Whether there is more to run than dependencies."""
        needs_phases = self.script_name != "run" or "env_key_mappings" in self.recipe.raw
        return needs_phases or self.recipe.has_code

    @property
    def is_dynamic(self) -> bool:
        """Whether a dependency that runs after the look-up has to run on a hit, too."""
        return any(dep.dynamic for phase in LATER_PHASES for dep in self.dependencies[phase])

    @property
    def local_keys(self) -> tuple[str, ...]:
        """The variables that stay with this recipe."""
        return (*LOCAL_ENV_KEYS, *self.recipe.local_env_keys)

    def tags(self) -> tuple[str, ...]:
        """Return the recipe's tags and its variations, as CM writes them."""
        return (*self.recipe.tags, *(f"_{name}" for name in self.variations))


def prepare(recipe: Recipe, call: Call, caller_folder: str) -> Prepared:
    """Apply a recipe's metadata to a call.

    Precedence, low to high: default_env, what the call brings, env of the recipe, of its
    variations, of its version; mapped inputs and constants.
    """
    resolved = resolve_variations(
        recipe, call.query.variations, call.query.without_variations, _given(recipe, call)
    )
    version = _version(recipe, call, resolved.layers)
    layers = [recipe.layer, *resolved.layers, *_version_layer(recipe, version)]
    mapping = {name: key for layer in layers for name, key in layer.input_mapping.items()}
    # What a recipe of this run has put out is newer than an input on its way down.
    newer = {name for name, key in mapping.items() if key in call.put_out and key in call.env}
    taken = {name: value for name, value in call.inputs.items() if name not in newer}
    mapped = map_inputs(recipe, mapping, taken, caller_folder)
    const = {**call.const, **mapped.env}
    env, state = copy.deepcopy(dict(call.env)), copy.deepcopy(dict(call.state))
    conditional: list[ConditionalEnv] = []
    for layer in layers:
        conditional += layer.conditional_env
        _apply(layer, env, state, const)
        _apply_conditional(conditional, env, state)
    _set_versions(env, version, call.versions)
    substitute(env)
    return Prepared(
        call=call,
        recipe=recipe,
        variations=resolved.names,
        env=env,
        state=state,
        const=const,
        inputs=mapped.left,
        **merged_dependencies(recipe, call, layers, env),
        version=version,
        declared=_declared(recipe, layers),
        specs=specs_by_variable(recipe, mapping),
        mapping=mapping,
        defaults={key: value for layer in layers for key, value in layer.default_env.items()},
        new_env_keys=call.new_env_keys
        or tuple(key for layer in layers for key in layer.new_env_keys),
        new_state_keys=tuple(key for layer in layers for key in layer.new_state_keys),
        script_name=next((x.script_name for x in reversed(layers) if x.script_name), "run"),
        incoming=copy.deepcopy(env),
        put_out=call.put_out,
    )


def dependency_call(prepared: Prepared, dependency: Dependency) -> Call:
    """Return the call that a recipe makes for one of its dependencies."""
    env = {
        name: value
        for name, value in prepared.env.items()
        if matches_any(name, dependency.force_env_keys)
        or (dependency.reuse_version and name.startswith("CM_VERSION"))
        or not (matches_any(name, prepared.local_keys) or is_unresolved(value))
    }
    own = copy.deepcopy(dict(dependency.env))
    substitute(own, prepared.env)
    merge(env, own)
    recursive = prepared.add_deps_recursive
    if dependency.add_deps_recursive:
        own_and_given = copy.deepcopy(dict(recursive))
        merge_updates(own_and_given, dependency.add_deps_recursive)
        recursive = own_and_given
    return Call(
        query=_dependency_query(prepared, dependency, own),
        env=env,
        state=prepared.state,
        const={name: prepared.env.get(name, value) for name, value in prepared.const.items()},
        inputs=prepared.inputs,
        add_deps=dependency.add_deps,
        add_deps_recursive=recursive,
        versions=Versions(
            dependency.version,
            dependency.version_min,
            dependency.version_max,
            dependency.version_max_usable,
        ),
        new_env_keys=dependency.force_new_env_keys,
        extra_cache_tags=tuple(fill(tag, prepared.env) for tag in dependency.extra_cache_tags),
        forces_cache=dependency.force_cache,
        chain=prepared.chain,
        repository=prepared.recipe.repository,
        put_out=prepared.put_out,
        is_keyed=prepared.is_keyed,
    )


def _dependency_query(prepared: Prepared, dependency: Dependency, own: Mapping[str, Any]) -> Query:
    env = prepared.env
    tags = [fill(tag, env, must_be_known=True) for tag in dependency.tags]
    for prefix, keys in dependency.update_tags_from_env_with_prefix.items():
        values = (str(own.get(key) or env.get(key, "")).strip() for key in keys)
        tags += [f"{prefix}{value}" for value in values if value]
    for key in dependency.update_tags_from_env:
        tags += [tag.strip() for tag in str(env.get(key, "")).split(",")]
    if dependency.inherit_variation_tags:
        tags += _inherited(prepared, dependency.skip_inherit_variation_groups)
    query = Query.parse(tags)
    kept = tuple(name for name in query.variations if name not in query.without_variations)
    return replace(query, variations=kept)


def _inherited(prepared: Prepared, skipped_groups: Iterable[str]) -> list[str]:
    declared = prepared.recipe.variations
    skipped = {v.name for v in declared.values() if v.group and v.group in skipped_groups}
    return [
        f"_{name}"
        for name in prepared.variations
        if name not in skipped and f"{name.partition('.')[0]}.#" not in skipped
    ]


def _apply(layer: Layer, env: dict[str, Any], state: dict[str, Any], const: dict[str, Any]) -> None:
    for name, value in layer.default_env.items():
        env.setdefault(name, copy.deepcopy(value))
    env.update(copy.deepcopy(dict(layer.env)))
    for name, value in layer.const.items():
        const.setdefault(name, value)
    env.update(const)
    merge(state, copy.deepcopy(dict(layer.state)))


def _apply_conditional(
    conditional: Iterable[ConditionalEnv], env: dict[str, Any], state: dict[str, Any]
) -> None:
    """Add what ``update_meta_if_env`` of the layers so far brings in this environment."""
    for each in conditional:
        if takes_part(each.conditions, env):
            merge(env, copy.deepcopy(dict(each.env)))
            merge(state, copy.deepcopy(dict(each.state)))


def _declared(recipe: Recipe, layers: Iterable[Layer]) -> frozenset[str] | None:
    """Return the variables that stand in the key; None where the recipe declares no inputs.

    The names of all layers count: the code that reads what one variation sets reads what comes
    from elsewhere when that variation is off.
    """
    if not any(layer.declares_inputs for layer in layers):
        return None
    return recipe.declared


def _given(recipe: Recipe, call: Call) -> frozenset[str]:
    """Return the variables that the call sets, by env, constant or input.

    Only asked for where the default of a group depends on it.
    """
    if not any(variation.default_unless_env for variation in recipe.variations.values()):
        return frozenset()
    values = {**call.env, **call.const}
    for layer in recipe.all_layers:
        for name, key in layer.input_mapping.items():
            if name in call.inputs:
                values[key] = call.inputs[name]
    return frozenset(name for name, value in values.items() if str(value))


def _version(recipe: Recipe, call: Call, variation_layers: Iterable[Layer]) -> str:
    asked = call.versions.exact or str(call.env.get("CM_VERSION", ""))
    if asked:
        return asked
    layers = [recipe.layer, *variation_layers]
    default = next((x.default_version for x in reversed(layers) if x.default_version), "")
    limits, given = VersionLimits.of(call.env), call.versions
    limits = VersionLimits("", given.least or limits.least, given.most or limits.most)
    most_usable = given.most_usable or str(call.env.get("CM_VERSION_MAX_USABLE", ""))
    return limits.nearest(default, most_usable) if default else ""


def _version_layer(recipe: Recipe, version: str) -> list[Layer]:
    if version not in recipe.versions:
        return []
    return [parse_layer(recipe, f"versions.{version}", recipe.versions[version])]


def _set_versions(env: dict[str, Any], version: str, versions: Versions) -> None:
    for key, value in (
        ("CM_VERSION", version),
        ("CM_VERSION_MIN", versions.least),
        ("CM_VERSION_MAX", versions.most),
        ("CM_VERSION_MAX_USABLE", versions.most_usable),
    ):
        if value:
            env[key] = value
