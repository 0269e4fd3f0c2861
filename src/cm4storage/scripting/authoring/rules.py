"""The rules for one recipe. Each function is one rule, and its name, with hyphens, the rule's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.records import dataclass
from cm4storage.scripting.authoring.findings import Finding
from cm4storage.scripting.authoring.hook_rules import hook_imports
from cm4storage.scripting.authoring.schema import check_schema
from cm4storage.scripting.authoring.sources import Source, shown_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.scripting.authoring.house_rules import HouseRules
    from cm4storage.scripting.metadata import Layer, Recipe

_UID_KEYS = ("uid", "automation_uid")
_UID_LENGTH = 16
_ENGINE_PREFIXES = ("CM_", "MLC_")
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Subject:
    """A recipe under examination."""

    source: Source
    recipe: Recipe
    house: HouseRules

    def finding(self, rule: str, what: str, *place: Any, advice: str = "") -> Finding:
        """Return a finding at a place of the metadata."""
        return Finding(self.source.file, self.source.line(*place), rule, what, advice)

    @property
    def layers(self) -> list[tuple[tuple[Any, ...], Layer]]:
        """The layers of the recipe, its variations and versions, with their places."""
        recipe = self.recipe
        places: list[tuple[Any, ...]] = [
            (),
            *(("variations", name) for name in recipe.variations),
            *(("versions", name) for name in recipe.versions),
        ]
        return list(zip(places, recipe.all_layers, strict=True))


def check_source(source: Source, house: HouseRules) -> Iterator[Finding]:
    """Yield what is wrong with a metadata file, whether or not it makes a recipe."""
    yield from check_schema(source, is_strict=house.is_strict)
    yield from _repeated_key(source)
    if house.is_strict:
        yield from _uid_quoted(source)


def check_recipe(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with a recipe as such: other recipes do not matter."""
    yield from hook_imports(subject.source.folder, is_strict=subject.house.is_strict)
    if subject.house.is_strict:
        for rule in _STRICT_RULES:
            yield from rule(subject)


def _repeated_key(source: Source) -> Iterator[Finding]:
    for each in source.repeated:
        yield Finding(
            source.file,
            each.line,
            "repeated-key",
            f"{shown_place(each.place)} is there already, in line {each.first_line}",
            "YAML takes the last one and drops the others without a word: keep one",
        )


def _uid_quoted(source: Source) -> Iterator[Finding]:
    if source.file.suffix != ".yaml":
        return
    for key in _UID_KEYS:
        if key in source.value and (key,) not in source.quoted:
            yield Finding(
                source.file,
                source.line(key),
                "uid-quoted",
                f"{key} is not in quotes",
                "quote it: YAML reads 16 digits as a number, and some letters as an exponent",
            )


def _named(subject: Subject) -> Iterator[Finding]:
    if not subject.recipe.name:
        advice = "add name: what the recipe does, as a title; lists and the README show it"
        yield subject.finding("named", "the recipe has no name", "alias", advice=advice)
    if subject.recipe.alias != subject.source.folder.name:
        yield subject.finding(
            "named",
            f"the alias {subject.recipe.alias} is not the name of the folder",
            "alias",
            advice=f"rename one: other recipes' authors look for {subject.source.folder.name}",
        )


def _variation_described(subject: Subject) -> Iterator[Finding]:
    for name, variation in subject.recipe.variations.items():
        if variation.description or variation.alias or "," in name:
            continue
        yield subject.finding(
            "variation-described",
            f"the variation _{name} has no desc",
            *("variations", name),
            advice="add desc: what it means to a user; the help and the README show it",
        )


def _input_described(subject: Subject) -> Iterator[Finding]:
    for place, layer in subject.layers:
        for name in layer.input_mapping:
            spec = subject.recipe.inputs.get(name)
            if spec is None or not spec.description:
                yield subject.finding(
                    "input-described",
                    f"the input --{name} has no description",
                    *(*place, "input_mapping", name),
                    advice=f"add input_description.{name}.desc, and a type where it has one",
                )


def _set_twice(subject: Subject) -> Iterator[Finding]:
    inputs = {key: name for _, layer in subject.layers for name, key in layer.input_mapping.items()}
    for place, layer in subject.layers:
        if place[:1] != ("variations",):
            continue
        for key in layer.env:
            if key in inputs:
                yield subject.finding(
                    "set-twice",
                    f"{key} is set by _{place[1]} and by the input --{inputs[key]}",
                    *(*place, "env", key),
                    advice="use two variables: which one wins differs between CM's engines",
                )


def _output_exact(subject: Subject) -> Iterator[Finding]:
    for place, layer in subject.layers:
        for kind, keys in (("env", layer.new_env_keys), ("state", layer.new_state_keys)):
            for number, key in enumerate(keys):
                if _WILDCARDS & set(key):
                    yield subject.finding(
                        "output-exact",
                        f"new_{kind}_keys holds the pattern {key!r}",
                        *(*place, f"new_{kind}_keys", number),
                        advice="name each one: a pattern lets out what nobody meant to hand on",
                    )


def _env_prefix(subject: Subject) -> Iterator[Finding]:
    prefix = subject.house.env_prefix
    for place, layer in subject.layers:
        for key_place, name in _own_variables(place, layer):
            if prefix and not name.startswith(prefix):
                yield subject.finding(
                    "env-prefix",
                    f"the variable {name} does not begin with {prefix}",
                    *key_place,
                    advice="so that no other repository's recipe sets or reads it by accident",
                )
            elif name.startswith(_ENGINE_PREFIXES):
                yield subject.finding(
                    "env-prefix",
                    f"the variable {name} has the prefix of an engine",
                    *key_place,
                    advice="choose another: engines rename, drop or set those themselves",
                )


def _own_variables(place: tuple[Any, ...], layer: Layer) -> Iterator[tuple[tuple[Any, ...], str]]:
    for kind in ("default_env", "env", "const"):
        for name in getattr(layer, kind):
            if not name.startswith("+"):  # a list such as +PATH grows what others own
                yield (*place, kind, name), name
    for name, key in layer.input_mapping.items():
        yield (*place, "input_mapping", name), key
    for number, key in enumerate(layer.new_env_keys):
        if not key.startswith(("+", "<<<")):
            yield (*place, "new_env_keys", number), key


def _tested(subject: Subject) -> Iterator[Finding]:
    tests = subject.source.value.get("tests")
    if not isinstance(tests, dict) or not tests.get("run_inputs"):
        yield subject.finding(
            "tested",
            "the recipe has no tests",
            "alias",
            advice="add tests.run_inputs, a list of inputs and of what must come of them",
        )


_STRICT_RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    _named,
    _variation_described,
    _input_described,
    _set_twice,
    _output_exact,
    _env_prefix,
    _tested,
)
