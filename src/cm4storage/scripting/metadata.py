"""A recipe's metadata file, checked once and held as frozen data.

Only what the engine reads is typed here; keys that are unknown to it are left to other engines.
"""

from __future__ import annotations

import functools
import json
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

METADATA_FILES = ("_cm.yaml", "_cm.json")
DEPENDENCY_PHASES = ("deps", "prehook_deps", "posthook_deps", "post_deps")
_PLAIN_FILES = frozenset((*METADATA_FILES, "meta.yaml", "meta.json", "README.md"))
INPUT_TYPES = ("string", "int", "float", "flag", "path", "file")
NOTHING: Mapping[str, Any] = MappingProxyType({})

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def nothing() -> Mapping[str, Any]:
    """Return the empty mapping: the default of fields, for which it must not be mutable."""
    return NOTHING


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
    inherit_variation_tags: bool = False
    skip_inherit_variation_groups: tuple[str, ...] = ()
    update_tags_from_env: tuple[str, ...] = ()
    update_tags_from_env_with_prefix: Mapping[str, tuple[str, ...]] = field(default_factory=nothing)
    force_env_keys: tuple[str, ...] = ()
    reuse_version: bool = False
    dynamic: bool = False


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


@dataclass(frozen=True)
class _Part:
    """A mapping of the metadata file, with the place that errors name."""

    file: str
    place: str
    raw: Mapping[str, Any]

    def wrong(self, key: str, rule: str) -> UserError:
        """Return the error for the value of `key`."""
        place = f"{self.place}.{key}" if self.place else key
        return UserError(f"{place}: {rule}, not {self.raw.get(key)!r}", where=self.file)

    def text(self, key: str) -> str:
        """Return a scalar as text; "" when it is missing."""
        value = self.raw.get(key)
        if isinstance(value, (dict, list)):
            raise self.wrong(key, "must be a single value")
        return "" if value is None else str(value)

    def flag(self, key: str) -> bool:
        """Return a boolean; CM's yes and no in quotes are accepted."""
        value = self.raw.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if str(value).lower() in ("yes", "true", "on", "no", "false", "off", ""):
            return str(value).lower() in ("yes", "true", "on")
        raise self.wrong(key, "must be true or false")

    def number(self, key: str) -> float | None:
        """Return a number; None when it is missing."""
        value = self.raw.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self.wrong(key, "must be a number")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a mapping; an empty one when it is missing."""
        value = self.raw.get(key)
        if value is None:
            return NOTHING
        if not isinstance(value, dict):
            raise self.wrong(key, "must be a mapping")
        return {str(name): item for name, item in value.items()}

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text stands for a list of one."""
        value = self.raw.get(key)
        if value is None:
            return ()
        if isinstance(value, (str, int, float)):
            return tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not isinstance(value, list):
            raise self.wrong(key, "must be a list")
        if any(isinstance(item, bool) for item in value):
            raise self.wrong(key, "must hold texts (quote yes, no, on and off)")
        return tuple(str(item) for item in value)

    def text_lists(self, key: str) -> Mapping[str, tuple[str, ...]] | None:
        """Return a mapping of lists of texts; None when it is missing."""
        if self.raw.get(key) is None:
            return None
        inner = _Part(self.file, f"{self.place}.{key}", self.mapping(key))
        return {name: inner._values(name) for name in inner.raw}

    def _values(self, key: str) -> tuple[str, ...]:
        value = self.raw[key]
        items = value if isinstance(value, list) else [value]
        return tuple(str(item) for item in items)

    def mappings(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """Return a mapping of mappings."""
        inner = _Part(self.file, f"{self.place}.{key}".lstrip("."), self.mapping(key))
        return {name: inner.mapping(name) for name in inner.raw}

    def parts(self, key: str) -> list[_Part]:
        """Return a list of mappings as parts."""
        value = self.raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "must be a list of mappings")
        place = f"{self.place}.{key}".lstrip(".")
        return [_Part(self.file, f"{place}[{n}]", item) for n, item in enumerate(value)]


def as_path(place: str | os.PathLike[str]) -> Path:
    """Return a path object; pathlib is imported by the first, since many runs need none."""
    from pathlib import Path

    return Path(place)


def read_metadata(folder: str) -> dict[str, Any]:
    """Return the metadata of the artifact in `folder`; ``_cm.json`` refines ``_cm.yaml``.

    Raises
    ------
    UserError
        If a file is no valid YAML or JSON, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    for name in METADATA_FILES:
        path = f"{folder}/{name}"
        if os.path.exists(path):
            merged.update(_parsed(path, file_stamp(path)))
    return merged


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Return what changes whenever a file is edited, even within one tick or with its old time."""
    status = os.stat(path)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


@functools.lru_cache(maxsize=8192)
def _parsed(path: str, stamp: tuple[int, ...]) -> Mapping[str, Any]:  # noqa: ARG001 - for the memo
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        value = json.loads(text) if path.endswith(".json") else yaml.load(text, Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"cannot read the metadata file {os.path.basename(path)}",
            where=path,
            meaning=str(error),
        ) from error
    if not isinstance(value, dict):
        raise UserError("a metadata file must hold a mapping", where=path)
    return value


def parse_recipe(place: str, repository: str) -> Recipe:
    """Return the recipe in the folder `place`.

    Raises
    ------
    UserError
        If the metadata is malformed; names file, key and rule.
    """
    part = _Part(f"{place}/{METADATA_FILES[0]}", "", read_metadata(place))
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
        is_cached=part.flag("cache"),
        runs_once=part.flag("run_once"),
        keeps_across_versions=part.flag("keep_across_versions"),
    )


def parse_layer(recipe: Recipe, place: str, raw: Mapping[str, Any]) -> Layer:
    """Return the layer of a variation or version of `recipe`."""
    return _layer(_Part(recipe.metadata_file, place, raw))


def parse_dependency(recipe: Recipe, place: str, raw: Mapping[str, Any]) -> Dependency:
    """Return the dependency that `raw` describes."""
    return _dependency(_Part(recipe.metadata_file, place, raw))


def fill_in(value: Any, suffix: str) -> Any:
    """Return `value` with every ``#`` in its texts replaced: a dynamic variation's layer."""
    if isinstance(value, str):
        return value.replace("#", suffix)
    if isinstance(value, list):
        return [fill_in(item, suffix) for item in value]
    if isinstance(value, dict):
        return {name: fill_in(item, suffix) for name, item in value.items()}
    return value


def _layer(part: _Part) -> Layer:
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
        add_deps={**part.mappings("add_deps"), **part.mappings("ad")},
        add_deps_recursive={**part.mappings("add_deps_recursive"), **part.mappings("adr")},
        new_env_keys=part.texts("new_env_keys"),
        new_state_keys=part.texts("new_state_keys"),
        default_version=part.text("default_version"),
        script_name=part.text("script_name"),
        declares_inputs="input_mapping" in part.raw or "default_env" in part.raw,
    )


def _dependency(part: _Part) -> Dependency:
    return Dependency(
        tags=part.texts("tags"),
        names=part.texts("names"),
        env=part.mapping("env"),
        conditions=Conditions(
            enable_all=part.text_lists("enable_if_env"),
            enable_any=part.text_lists("enable_if_any_env"),
            skip_all=part.text_lists("skip_if_env"),
            skip_any=part.text_lists("skip_if_any_env"),
        ),
        version=part.text("version"),
        version_min=part.text("version_min"),
        version_max=part.text("version_max"),
        inherit_variation_tags=part.flag("inherit_variation_tags"),
        skip_inherit_variation_groups=part.texts("skip_inherit_variation_groups"),
        update_tags_from_env=part.texts("update_tags_from_env"),
        update_tags_from_env_with_prefix=part.text_lists("update_tags_from_env_with_prefix")
        or NOTHING,
        force_env_keys=part.texts("force_env_keys"),
        reuse_version=part.flag("reuse_version"),
        dynamic=part.flag("dynamic"),
    )


def _variations(part: _Part) -> Mapping[str, Variation]:
    found = {}
    for name, raw in part.mappings("variations").items():
        inner = _Part(part.file, f"variations.{name}", raw)
        found[name] = Variation(
            name=name,
            raw=raw,
            group=inner.text("group"),
            is_group_default=inner.flag("default"),
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


def _inputs(part: _Part) -> Mapping[str, InputSpec]:
    found = {}
    for name, raw in part.mapping("input_description").items():
        described = raw if isinstance(raw, dict) else {"desc": raw}
        inner = _Part(part.file, f"input_description.{name}", described)
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


def _combinations(part: _Part, key: str) -> tuple[tuple[str, ...], ...]:
    value = part.raw.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
        raise part.wrong(key, "must be a list of lists of variations")
    return tuple(tuple(str(name).removeprefix("_") for name in item) for item in value)
