"""The rules for names: a variation or dependency that is spoken of must exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.scripting.authoring.dependencies import dependencies_of
from cm4storage.scripting.catalog import knows_variation
from cm4storage.scripting.nearest import nearest
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.scripting.authoring.findings import Finding
    from cm4storage.scripting.authoring.rules import Subject
    from cm4storage.scripting.metadata import Recipe

_PLACEHOLDERS = ("#", "<<<")


def check_references(subject: Subject, neighbours: Sequence[Recipe]) -> Iterator[Finding]:
    """Yield what a recipe speaks of that does not exist."""
    yield from _variation_known(subject)
    yield from _dependency_variation_known(subject, neighbours)
    yield from _dependency_name_known(subject)


def _variation_known(subject: Subject) -> Iterator[Finding]:
    for place, name in _spoken_of(subject.recipe):
        if not _is_known(subject.recipe, name):
            yield subject.finding(
                "variation-known",
                f"there is no variation _{name}",
                *place,
                advice=_hint(name, subject.recipe),
            )


def _spoken_of(recipe: Recipe) -> Iterator[tuple[tuple[Any, ...], str]]:
    for name, variation in recipe.variations.items():
        place = ("variations", name)
        for number, base in enumerate(variation.base):
            yield (*place, "base", number), base
        if variation.alias:
            yield (*place, "alias"), variation.alias
        for group, choice in variation.default_variations.items():
            yield (*place, "default_variations", group), choice
        if "," in name:
            yield from ((place, part) for part in name.split(","))
    if recipe.default_variation:
        yield ("default_variation",), recipe.default_variation
    for kind in ("valid_variation_combinations", "invalid_variation_combinations"):
        for number, combination in enumerate(getattr(recipe, kind)):
            yield from (((kind, number), name) for name in combination)


def _dependency_variation_known(
    subject: Subject, neighbours: Sequence[Recipe]
) -> Iterator[Finding]:
    for needed in dependencies_of(subject.recipe, neighbours):
        if needed.recipe is None:
            continue
        query = Query.parse(needed.dependency.tags)
        for name in (*query.variations, *query.without_variations):
            if not _is_known(needed.recipe, name):
                yield subject.finding(
                    "variation-known",
                    f"{needed.recipe.alias} has no variation _{name}",
                    *needed.place,
                    advice=_hint(name, needed.recipe),
                )


def _dependency_name_known(subject: Subject) -> Iterator[Finding]:
    names = {
        name for needed in dependencies_of(subject.recipe, ()) for name in needed.dependency.names
    }
    for place, layer in subject.layers:
        for name in layer.add_deps:
            if name not in names:
                near = nearest(name, names)
                hint = f"did you mean {near}? " if near else ""
                yield subject.finding(
                    "dependency-known",
                    f"no dependency of this recipe has the name {name}",
                    *(*place, _key_that_holds(subject, place, name), name),
                    advice=f"{hint}Names: {', '.join(sorted(names)) or 'none'}",
                )


def _key_that_holds(subject: Subject, place: tuple[Any, ...], name: str) -> str:
    return "ad" if (*place, "ad", name) in subject.source.lines else "add_deps"


def _is_known(recipe: Recipe, name: str) -> bool:
    return any(mark in name for mark in _PLACEHOLDERS) or knows_variation(recipe, name)


def _hint(name: str, recipe: Recipe) -> str:
    known = [each for each in recipe.variations if "," not in each]
    near = nearest(name, known)
    if near:
        return f"did you mean _{near}?"
    return f"{recipe.alias} has: {', '.join(f'_{each}' for each in known) or 'none'}"
