"""Which variations of a recipe are on, in which order, and what they bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.catalog import dynamic_name
from cm4storage.scripting.metadata import Layer, Recipe, Variation, fill_in, parse_layer
from cm4storage.scripting.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Resolved:
    """The outcome: names in the order of application, and their layers in that order."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]


def resolve_variations(
    recipe: Recipe,
    requested: Sequence[str],
    excluded: Sequence[str],
    given: frozenset[str] = frozenset(),
) -> Resolved:
    """Return the variations that are on when `requested` are asked for.

    Aliases stand for their targets; ``base`` brings more; ``default_variations`` and then the
    groups' defaults fill the groups that are still empty. A default with ``default_unless_env``
    does not if the call sets one of those variables, which are in `given`.

    Raises
    ------
    UserError
        If one is unknown (names the nearest), excluded by the same query, or of a group that
        already has another, or if the combination is declared invalid.
    """
    resolution = _Resolution(recipe, excluded, given)
    defaults = [recipe.default_variation] if recipe.default_variation else []
    for name in requested or [n for n in defaults if n not in excluded]:
        resolution.add(name, "")
    resolution.fill_groups()
    names = tuple(resolution.chosen)
    _check_combinations(recipe, names)
    return Resolved(names, tuple(_layers(recipe, names)))


class _Resolution:
    """Grows the list of chosen variations of one recipe."""

    def __init__(self, recipe: Recipe, excluded: Sequence[str], given: frozenset[str]) -> None:
        self._recipe = recipe
        self._excluded = frozenset(excluded)
        self._groups = {
            group: "" if _is_overruled(recipe, choice, given) else choice
            for group, choice in group_defaults(recipe).items()
        }
        self._holder: dict[str, str] = {}
        self.chosen: list[str] = []
        for name in excluded:
            self._declared(name)

    def add(self, name: str, wanted_by: str) -> None:
        """Switch on `name` and whatever it is based on."""
        if name in self.chosen:
            return
        variation = self._declared(name)
        if name in self._excluded or variation.name in self._excluded:
            raise self._conflict(name, wanted_by, "is excluded")
        holder = self._holder.setdefault(variation.group, name) if variation.group else name
        if holder != name:
            raise self._conflict(name, wanted_by, f"and _{holder} exclude each other")
        self.chosen.append(name)
        if variation.alias:
            self.add(variation.alias, wanted_by or name)
        for base in variation.base:
            if not self._has_dynamic(base):
                self.add(base, name)

    def fill_groups(self) -> None:
        """Choose defaults for empty groups until nothing changes."""
        while True:
            before = len(self.chosen)
            for variation in self._active():
                for group, choice in variation.default_variations.items():
                    self._fill(group, choice, variation.name)
            if len(self.chosen) == before:
                for group, choice in self._groups.items():
                    self._fill(group, choice, group)
            if len(self.chosen) == before:
                return

    def _fill(self, group: str, choice: str, wanted_by: str) -> None:
        if group not in self._groups:
            raise UserError(
                f"default_variations of _{wanted_by}: there is no variation group {group!r}",
                where=str(self._recipe.metadata_file),
            )
        if choice and group not in self._holder and choice not in self._excluded:
            self.add(choice, wanted_by)

    def _active(self) -> Iterable[Variation]:
        chosen = set(self.chosen)
        yield from [self._declared(name) for name in self.chosen]
        for name, variation in self._recipe.variations.items():
            if "," in name and chosen.issuperset(name.split(",")):
                yield variation

    def _has_dynamic(self, base: str) -> bool:
        # A dynamic base is a default: an x.VALUE that was asked for stands.
        pattern = dynamic_name(base)
        if base in self._recipe.variations or not pattern:
            return False
        return any(dynamic_name(name) == pattern for name in self.chosen)

    def _declared(self, name: str) -> Variation:
        return variation_of(self._recipe, name)

    def _conflict(self, name: str, wanted_by: str, why: str) -> UserError:
        origin = f" (brought by {wanted_by})" if wanted_by else ""
        return UserError(
            f"{self._recipe.alias}: variation _{name}{origin} {why}",
            where=str(self._recipe.metadata_file),
        )


def group_defaults(recipe: Recipe) -> dict[str, str]:
    """Return the default of each variation group; "" for a group without one."""
    groups: dict[str, str] = {}
    for variation in recipe.variations.values():
        if variation.group:
            groups.setdefault(variation.group, "")
            if variation.is_group_default:
                groups[variation.group] = variation.name
    return groups


def _is_overruled(recipe: Recipe, default: str, given: frozenset[str]) -> bool:
    return bool(default) and not given.isdisjoint(recipe.variations[default].default_unless_env)


def variation_of(recipe: Recipe, name: str) -> Variation:
    """Return a variation by its name; a dynamic one (``x.VALUE``) as it is declared.

    Raises
    ------
    UserError
        If the recipe has none of that name.
    """
    found = recipe.variations.get(name) or recipe.variations.get(dynamic_name(name))
    if found is None:
        raise unknown_variation(recipe, name)
    return found


def unknown_variation(recipe: Recipe, name: str) -> UserError:
    """Return the error for a variation that the recipe does not have."""
    known = sorted(name for name in recipe.variations if "," not in name)
    near = nearest(name, known, likeness=0.5)
    listed = ", ".join(f"_{variation}" for variation in known) or "none"
    hint = f"did you mean _{near}? " if near else ""
    return UserError(
        f"{recipe.alias} has no variation _{name}",
        where=str(recipe.metadata_file),
        advice=f"{hint}It has: {listed}",
    )


def _layers(recipe: Recipe, names: Sequence[str]) -> Iterable[Layer]:
    """Yield the layers in CM's order: combinations again after each variation, so that they win."""
    combined = sorted((n for n in recipe.variations if "," in n), key=lambda n: n.count(","))
    on = [_layer(recipe, each) for each in combined if set(names).issuperset(each.split(","))]
    for name in names:
        yield _layer(recipe, name)
        yield from on


def _layer(recipe: Recipe, name: str) -> Layer:
    if name in recipe.variations:
        raw = recipe.variations[name].raw
    else:
        raw = fill_in(recipe.variations[dynamic_name(name)].raw, name.partition(".")[2])
    return parse_layer(recipe, f"variations.{name}", raw)


def _check_combinations(recipe: Recipe, names: Sequence[str]) -> None:
    chosen = set(names)
    shown = ", ".join(f"_{name}" for name in names) or "no variation"
    valid = recipe.valid_variation_combinations
    if valid and not any(chosen.issuperset(combination) for combination in valid):
        listed = "; ".join(", ".join(f"_{n}" for n in c) for c in valid)
        raise UserError(
            f"{recipe.alias}: {shown} is no valid combination", advice=f"valid are: {listed}"
        )
    for combination in recipe.invalid_variation_combinations:
        if combination and chosen.issuperset(combination):
            bad = ", ".join(f"_{name}" for name in combination)
            raise UserError(f"{recipe.alias}: {bad} cannot be used together")
