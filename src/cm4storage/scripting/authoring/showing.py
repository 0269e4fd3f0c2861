"""``cm show script``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.records import asdict
from cm4storage.scripting.authoring.cases import cases_of
from cm4storage.scripting.authoring.dependencies import dependencies_of
from cm4storage.scripting.authoring.examination import examine
from cm4storage.scripting.authoring.lint import console_of
from cm4storage.scripting.authoring.readme import conditions_text
from cm4storage.scripting.authoring.selection import choose
from cm4storage.scripting.help import recipe_help
from cm4storage.scripting.variations import group_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cm4storage.scripting.actions import Surroundings
    from cm4storage.scripting.metadata import Recipe


def show_scripts(given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Show recipes: what they take, need and put out."""
    console = console_of(given)
    shown: list[dict[str, Any]] = []
    for selection in choose(given, surroundings):
        examination = examine(selection, given)
        for subject in examination.chosen:
            if shown:
                console.line()
            for line in _lines(subject.recipe, examination.recipes):
                console.line(line)
            shown.append(_as_json(subject.recipe, examination.recipes))
        for finding in examination.unreadable:
            if finding.file.parent in selection.chosen:
                console.warning(f"{finding.file}: {finding.what}")
    return {"list": shown}


def _lines(recipe: Recipe, neighbours: Sequence[Recipe]) -> Iterator[str]:
    yield from recipe_help(recipe)
    yield f"repository: {recipe.repository}    uid: {recipe.uid}"
    yield f"folder: {recipe.folder}"
    needed = list(dependencies_of(recipe, neighbours))
    if needed:
        yield ""
        yield "needs:"
    for each in needed:
        origin = f", with _{each.variation}" if each.variation else ""
        origin = f", for version {each.version}" if each.version else origin
        when = f"{each.phase}{origin}{conditions_text(each.dependency.conditions)}"
        yield f"  {','.join(each.dependency.tags):<28}  {when.replace('`', '')}"
    outputs = _outputs(recipe)
    if outputs:
        yield ""
        yield "puts out:"
    for name, text in outputs.items():
        yield f"  {name:<28}  {text}".rstrip()
    yield ""
    yield f"tests: {len(cases_of(recipe)) or 'none'}"


def _outputs(recipe: Recipe) -> dict[str, str]:
    described = recipe.raw.get("output_description") or {}
    keys = [key for layer in recipe.all_layers for key in layer.new_env_keys]
    states = [key for layer in recipe.all_layers for key in layer.new_state_keys]
    return {
        **{key: str((described.get(key) or {}).get("desc", "")) for key in keys},
        **dict.fromkeys(states, "in the state"),
    }


def _as_json(recipe: Recipe, neighbours: Sequence[Recipe]) -> dict[str, Any]:
    defaults = group_defaults(recipe)
    mapping = {n: key for layer in recipe.all_layers for n, key in layer.input_mapping.items()}
    names = dict.fromkeys((*recipe.inputs, *mapping))
    return {
        "alias": recipe.alias,
        "uid": recipe.uid,
        "name": recipe.name,
        "desc": str(recipe.raw.get("desc") or "").strip(),
        "tags": list(recipe.tags),
        "repository": recipe.repository,
        "folder": str(recipe.folder),
        "cached": recipe.is_cached,
        "inputs": [_input(recipe, name, mapping.get(name, "")) for name in names],
        "variations": [
            {
                "name": each.name,
                "group": each.group,
                "default": bool(each.group) and defaults[each.group] == each.name,
                "desc": each.description,
                "alias": each.alias,
            }
            for each in recipe.variations.values()
        ],
        "needs": [
            {
                "phase": each.phase,
                "tags": list(each.dependency.tags),
                "names": list(each.dependency.names),
                "variation": each.variation,
                "version": each.version,
                "recipe": each.recipe.alias if each.recipe else "",
            }
            for each in dependencies_of(recipe, neighbours)
        ],
        "outputs": _outputs(recipe),
        "tests": len(cases_of(recipe)),
    }


def _input(recipe: Recipe, name: str, variable: str) -> dict[str, Any]:
    spec = recipe.inputs.get(name)
    described = asdict(spec) if spec else {"name": name}
    default = recipe.layer.default_env.get(variable, described.pop("default", None))
    return {**described, "variable": variable, "default": default}
