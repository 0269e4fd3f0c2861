"""A recipe's metadata file, checked once and held as frozen data.

Only what the engine reads is typed here; keys that are unknown to it are left to other engines.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from cm4storage.core.records import dataclass, field
from cm4storage.scripting.metadata_files import (
    METADATA_FILES,
    NOTHING,
    Part,
    as_path,
    nothing,
    read_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LATER_PHASES = ("prehook_deps", "posthook_deps", "post_deps")
DEPENDENCY_PHASES = ("deps", *LATER_PHASES)
_CONDITION_KEYS = ("enable_if_env", "enable_if_any_env", "skip_if_env", "skip_if_any_env")
_PLAIN_FILES = frozenset((*METADATA_FILES, "meta.yaml", "meta.json", "README.md"))
INPUT_TYPES = ("string", "int", "float", "flag", "path", "file", "settings")


@dataclass(frozen=True)
class Conditions:
    """When a dependency takes part; None where the metadata says nothing.

    Each maps a variable to the values of which one must match.
    """

    enable_all: Mapping[str, tuple[str, ...]] | None = None
    enable_any: Mapping[str, tuple[str, ...]] | None = None
    skip_all: Mapping[str, tuple[str, ...]] | None = None
    skip_any: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Dependency:
    """One entry of a list of dependencies."""

    tags: tuple[str, ...]
    names: tuple[str, ...] = ()
    env: Mapping[str, Any] = field(default_factory=nothing)
    conditions: Conditions = Conditions()
    version: str = ""
    version_min: str = ""
    version_max: str = ""
    version_max_usable: str = ""
    inherit_variation_tags: bool = False
    skip_inherit_variation_groups: tuple[str, ...] = ()
    update_tags_from_env: tuple[str, ...] = ()
    update_tags_from_env_with_prefix: Mapping[str, tuple[str, ...]] = field(default_factory=nothing)
    force_env_keys: tuple[str, ...] = ()
    force_new_env_keys: tuple[str, ...] = ()
    extra_cache_tags: tuple[str, ...] = ()
    force_cache: bool = False
    reuse_version: bool = False
    dynamic: bool = False
    skip_if_fake_run: bool = False
    add_deps: Mapping[str, Mapping[str, Any]] = field(default_factory=nothing)
    add_deps_recursive: Mapping[str, Mapping[str, Any]] = field(default_factory=nothing)


@dataclass(frozen=True)
class ConditionalEnv:
    """What ``update_meta_if_env`` adds to env and state while its conditions hold."""

    conditions: Conditions
    env: Mapping[str, Any]
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """The keys that a recipe, a variation and a version have in common."""

    default_env: Mapping[str, Any] = field(default_factory=nothing)
    env: Mapping[str, Any] = field(default_factory=nothing)
    const: Mapping[str, Any] = field(default_factory=nothing)
    state: Mapping[str, Any] = field(default_factory=nothing)
    input_mapping: Mapping[str, str] = field(default_factory=nothing)
    deps: tuple[Dependency, ...] = ()
    prehook_deps: tuple[Dependency, ...] = ()
    posthook_deps: tuple[Dependency, ...] = ()
    post_deps: tuple[Dependency, ...] = ()
    add_deps: Mapping[str, Mapping[str, Any]] = field(default_factory=nothing)
    add_deps_recursive: Mapping[str, Mapping[str, Any]] = field(default_factory=nothing)
    new_env_keys: tuple[str, ...] = ()
    new_state_keys: tuple[str, ...] = ()
    default_version: str = ""
    script_name: str = ""
    declares_inputs: bool = False
    conditional_env: tuple[ConditionalEnv, ...] = ()


@dataclass(frozen=True)
class Variation:
    """A variation: its place in a group, and the text of its layer."""

    name: str
    raw: Mapping[str, Any]
    group: str = ""
    is_group_default: bool = False
    default_variations: Mapping[str, str] = field(default_factory=nothing)
    base: tuple[str, ...] = ()
    alias: str = ""
    description: str = ""
    default_unless_env: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputSpec:
    """What a recipe says about one of its inputs."""

    name: str
    description: str = ""
    default: Any = None
    type: str = ""
    choices: tuple[str, ...] = ()
    is_secret: bool = False
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Recipe:
    """A recipe as its metadata describes it."""

    alias: str
    uid: str
    place: str
    repository: str
    tags: tuple[str, ...]
    name: str
    layer: Layer
    variations: Mapping[str, Variation]
    versions: Mapping[str, Mapping[str, Any]]
    inputs: Mapping[str, InputSpec]
    raw: Mapping[str, Any]
    default_variation: str = ""
    valid_variation_combinations: tuple[tuple[str, ...], ...] = ()
    invalid_variation_combinations: tuple[tuple[str, ...], ...] = ()
    local_env_keys: tuple[str, ...] = ()
    volatile_env_keys: tuple[str, ...] = ()
    is_cached: bool = False
    runs_once: bool = False
    keeps_across_versions: bool = False

    @functools.cached_property
    def folder(self) -> Path:
        """The recipe's folder."""
        return as_path(self.place)

    @functools.cached_property
    def all_layers(self) -> tuple[Layer, ...]:
        """The layers of the recipe, its variations and its versions, whichever will be on."""
        variations = [(f"variations.{name}", v.raw) for name, v in self.variations.items()]
        versions = [(f"versions.{name}", raw) for name, raw in self.versions.items()]
        return (
            self.layer,
            *(parse_layer(self, place, raw) for place, raw in (*variations, *versions)),
        )

    @functools.cached_property
    def declared(self) -> frozenset[str]:
        """The variables that the recipe declares to depend on, in any of its layers."""
        found: set[str] = set()
        for raw in self._raw_layers:
            for key in ("default_env", "env", "const"):
                found.update(map(str, raw.get(key) or ()))
            found.update(map(str, dict(raw.get("input_mapping") or {}).values()))
            for part in raw.get("update_meta_if_env") or ():
                conditions = [part[key] for key in _CONDITION_KEYS if part.get(key)]
                found.update(map(str, part.get("env") or ()), *conditions)
        return frozenset(found)

    @functools.cached_property
    def own_names(self) -> frozenset[str]:
        """The variables, or their patterns, that the recipe knows as its own."""
        outputs = (raw.get("new_env_keys") or () for raw in self._raw_layers)
        return self.declared.union(*(map(str, keys) for keys in outputs))

    @functools.cached_property
    def has_dependencies(self) -> bool:
        """Whether any of the layers has dependencies."""
        return any(raw.get(phase) for raw in self._raw_layers for phase in DEPENDENCY_PHASES)

    @functools.cached_property
    def has_code(self) -> bool:
        """Whether there is anything in the folder that a run could start or call."""
        return not _PLAIN_FILES.issuperset(os.listdir(self.place))

    @property
    def _raw_layers(self) -> Iterator[Mapping[str, Any]]:
        # Not `all_layers`: a recipe may have hundreds of variations that nobody asked for.
        yield self.raw
        yield from (variation.raw for variation in self.variations.values())
        yield from self.versions.values()

    @property
    def metadata_file(self) -> str:
        """The file to name in errors."""
        files = [f"{self.place}/{name}" for name in METADATA_FILES]
        return next((file for file in files if os.path.exists(file)), files[0])


def parse_recipe(folder: str | os.PathLike[str], repository: str) -> Recipe:
    """Return the recipe in `folder`.

    Raises
    ------
    UserError
        If the metadata is malformed; names file, key and rule.
    """
    place = os.fspath(folder)
    part = Part(f"{place}/{METADATA_FILES[0]}", "", read_metadata(place))
    return Recipe(
        alias=part.text("alias") or os.path.basename(place),
        uid=part.text("uid"),
        place=place,
        repository=repository,
        tags=part.texts("tags"),
        name=part.text("name"),
        layer=_layer(part),
        variations=_variations(part),
        versions=part.mappings("versions"),
        inputs=_inputs(part),
        raw=part.raw,
        default_variation=part.text("default_variation").removeprefix("_"),
        valid_variation_combinations=_combinations(part, "valid_variation_combinations"),
        invalid_variation_combinations=_combinations(part, "invalid_variation_combinations"),
        local_env_keys=part.texts("local_env_keys"),
        volatile_env_keys=part.texts("volatile_env_keys"),
        is_cached=part.flag("cache") or part.flag("cache_by_inputs"),
        runs_once=part.flag("run_once"),
        keeps_across_versions=part.flag("keep_across_versions"),
    )


def parse_layer(recipe: Recipe, place: str, raw: Mapping[str, Any]) -> Layer:
    """Return the layer of a variation or version of `recipe`."""
    return _layer(Part(recipe.metadata_file, place, raw))


def parse_dependency(recipe: Recipe, place: str, raw: Mapping[str, Any]) -> Dependency:
    """Return the dependency that `raw` describes."""
    return _dependency(Part(recipe.metadata_file, place, raw))


def conditions_of(raw: Mapping[str, Any]) -> Conditions:
    """Return the conditions that stand in a mapping."""
    return _conditions(Part("", "", raw))


def fill_in(value: Any, suffix: str) -> Any:
    """Return `value` with every ``#`` in its texts replaced: a dynamic variation's layer."""
    if isinstance(value, str):
        return value.replace("#", suffix)
    if isinstance(value, list):
        return [fill_in(item, suffix) for item in value]
    if isinstance(value, dict):
        return {name: fill_in(item, suffix) for name, item in value.items()}
    return value


def _layer(part: Part) -> Layer:
    return Layer(
        default_env=part.mapping("default_env"),
        env=part.mapping("env"),
        const=part.mapping("const"),
        state=part.mapping("state"),
        input_mapping={name: str(key) for name, key in part.mapping("input_mapping").items()},
        deps=tuple(map(_dependency, part.parts("deps"))),
        prehook_deps=tuple(map(_dependency, part.parts("prehook_deps"))),
        posthook_deps=tuple(map(_dependency, part.parts("posthook_deps"))),
        post_deps=tuple(map(_dependency, part.parts("post_deps"))),
        add_deps=part.joined_mappings("add_deps", "ad"),
        add_deps_recursive=part.joined_mappings("add_deps_recursive", "adr"),
        new_env_keys=part.texts("new_env_keys"),
        new_state_keys=part.texts("new_state_keys"),
        default_version=part.text("default_version"),
        script_name=part.text("script_name"),
        conditional_env=tuple(map(_conditional_env, part.parts("update_meta_if_env"))),
        declares_inputs="input_mapping" in part.raw or "default_env" in part.raw,
    )


def _dependency(part: Part) -> Dependency:
    return Dependency(
        tags=part.texts("tags"),
        names=part.texts("names"),
        env=part.mapping("env"),
        conditions=_conditions(part),
        version=part.text("version"),
        version_min=part.text("version_min"),
        version_max=part.text("version_max"),
        version_max_usable=part.text("version_max_usable"),
        inherit_variation_tags=part.flag("inherit_variation_tags"),
        skip_inherit_variation_groups=part.texts("skip_inherit_variation_groups"),
        update_tags_from_env=part.texts("update_tags_from_env"),
        update_tags_from_env_with_prefix=part.text_lists("update_tags_from_env_with_prefix")
        or NOTHING,
        force_env_keys=part.texts("force_env_keys"),
        reuse_version=part.flag("reuse_version"),
        dynamic=part.flag("dynamic"),
        force_new_env_keys=part.texts("force_new_env_keys"),
        extra_cache_tags=part.texts("extra_cache_tags"),
        force_cache=part.flag("force_cache") or part.flag("force-cache"),
        skip_if_fake_run=part.flag("skip_if_fake_run"),
        add_deps=part.joined_mappings("add_deps", "ad"),
        add_deps_recursive=part.joined_mappings("add_deps_recursive", "adr"),
    )


def _conditions(part: Part) -> Conditions:
    return Conditions(
        enable_all=part.text_lists("enable_if_env"),
        enable_any=part.text_lists("enable_if_any_env"),
        skip_all=part.text_lists("skip_if_env"),
        skip_any=part.text_lists("skip_if_any_env"),
    )


def _conditional_env(part: Part) -> ConditionalEnv:
    return ConditionalEnv(_conditions(part), part.mapping("env"), part.mapping("state"))


def _variations(part: Part) -> Mapping[str, Variation]:
    found = {}
    for name, raw in part.mappings("variations").items():
        inner = Part(part.file, f"variations.{name}", raw)
        found[name] = Variation(
            name=name,
            raw=raw,
            group=inner.text("group"),
            # Whatever is written there: some recipes have a comma behind their true.
            is_group_default=inner.text("default").lower() not in ("", "no", "false", "off"),
            default_variations={
                group: str(choice).removeprefix("_")
                for group, choice in inner.mapping("default_variations").items()
            },
            base=tuple(base.removeprefix("_") for base in inner.texts("base")),
            alias=inner.text("alias").removeprefix("_"),
            description=inner.text("desc") or inner.text("description"),
            default_unless_env=inner.texts("default_unless_env"),
        )
    return found


def _inputs(part: Part) -> Mapping[str, InputSpec]:
    found = {}
    for name, raw in part.mapping("input_description").items():
        described = raw if isinstance(raw, dict) else {"desc": raw}
        inner = Part(part.file, f"input_description.{name}", described)
        kind = inner.text("type")
        if kind and kind not in INPUT_TYPES:
            raise inner.wrong("type", f"must be one of {', '.join(INPUT_TYPES)}")
        found[name] = InputSpec(
            name=name,
            description=inner.text("desc"),
            default=described.get("default"),
            type=kind,
            choices=inner.texts("choices"),
            is_secret=inner.flag("secret"),
            minimum=inner.number("minimum"),
            maximum=inner.number("maximum"),
        )
    return found


def _combinations(part: Part, key: str) -> tuple[tuple[str, ...], ...]:
    value = part.raw.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
        raise part.wrong(key, "must be a list of lists of variations")
    return tuple(tuple(str(name).removeprefix("_") for name in item) for item in value)
