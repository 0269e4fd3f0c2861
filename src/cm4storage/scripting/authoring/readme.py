"""A recipe's README.md, from its metadata alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.scripting.authoring.dependencies import dependencies_of
from cm4storage.scripting.conditions import truth
from cm4storage.scripting.help import range_text, unless_text
from cm4storage.scripting.variations import group_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.scripting.authoring.dependencies import Needed
    from cm4storage.scripting.metadata import Conditions, InputSpec, Recipe, Variation

MARK = '<!-- Written by "cm doc script" from _cm.yaml: change that, not this. -->'
_PHASES = {
    "deps": "first",
    "prehook_deps": "before run.sh",
    "posthook_deps": "after run.sh",
    "post_deps": "last",
}
_CACHED = (
    "The result is cached. It is found again as long as the recipe's code, its variations, its\n"
    "inputs and what it depends on are the same; `--renew` makes it again, and `--skip_cache`\n"
    "leaves the cache alone."
)
_NOT_CACHED = "The result is not cached: the recipe runs whenever it is asked for."
_KEPT = "\nIt outlives changes of the recipe's code, since the cache entry holds data."


def readme(recipe: Recipe, neighbours: Sequence[Recipe], repository: str) -> str:
    """Return the text of README.md.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    neighbours : sequence of Recipe
        All recipes of its repository: those that it needs are linked.
    repository : str
        The repository's alias.
    """
    lines = [MARK, f"# {recipe.name or recipe.alias}", ""]
    description = str(recipe.raw.get("desc") or "").strip()
    if description:
        lines += [_prose(description), ""]
    parts = (
        _run(recipe),
        _inputs(recipe),
        _variations(recipe),
        _needs(recipe, neighbours),
        _outputs(recipe),
        _cache(recipe),
        _elsewhere(recipe, repository),
    )
    for part in parts:
        lines += [*part, ""]
    return "\n".join(_without_double_blanks(lines)).rstrip() + "\n"


def _without_double_blanks(lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if line or (number and lines[number - 1]):
            yield line


def _run(recipe: Recipe) -> Iterator[str]:
    yield "```"
    yield f"cm run script --tags={','.join(recipe.tags)}"
    yield "```"
    tests = recipe.raw.get("tests")
    if isinstance(tests, dict) and tests.get("run_inputs"):
        yield ""
        yield f"`cm test script --tags={','.join(recipe.tags)}` tests it."


def _inputs(recipe: Recipe) -> Iterator[str]:
    mapping = {n: key for layer in recipe.all_layers for n, key in layer.input_mapping.items()}
    names = list(dict.fromkeys((*recipe.inputs, *mapping)))
    if not names:
        return
    yield "## Inputs"
    yield ""
    yield "| input | meaning | default | variable |"
    yield "|---|---|---|---|"
    for name in names:
        spec, key = recipe.inputs.get(name), mapping.get(name, "")
        default = recipe.layer.default_env.get(key, spec.default if spec else None)
        cells = (_code(_flag(name, spec)), _meaning(spec), _value(default), _code(key))
        yield _row(*cells)


def _flag(name: str, spec: InputSpec | None) -> str:
    if spec is None or not spec.type:
        return f"--{name}=..."
    if spec.type == "settings":
        return f"--{name}.KEY=VALUE"
    return f"--{name}" if spec.type == "flag" else f"--{name}={spec.type.upper()}"


def _meaning(spec: InputSpec | None) -> str:
    if spec is None:
        return ""
    choices = f"; one of {', '.join(map(_code, spec.choices))}" if spec.choices else ""
    secret = "; secret: it appears nowhere and is never cached" if spec.is_secret else ""
    return f"{_prose(spec.description)}{range_text(spec)}{choices}{secret}"


def _variations(recipe: Recipe) -> Iterator[str]:
    defaults = group_defaults(recipe)
    listed = [v for v in recipe.variations.values() if "," not in v.name]
    if not listed:
        return
    yield "## Variations"
    for group in (*defaults, ""):
        members = [v for v in listed if v.group == group]
        if not members:
            continue
        yield ""
        yield f"One of the group *{group}*:" if group else "Any of:"
        yield ""
        yield "| variation | meaning | sets |"
        yield "|---|---|---|"
        for variation in members:
            is_default = bool(group) and variation.name == defaults[group]
            default = f" (default{unless_text(recipe, variation)})" if is_default else ""
            yield _row(
                f"{_code('_' + variation.name)}{default}",
                _variation_meaning(variation),
                _settings(variation.raw),
            )
    yield from _combinations(recipe)


def _variation_meaning(variation: Variation) -> str:
    parts = [_prose(variation.description)] if variation.description else []
    if variation.alias:
        parts.append(f"the same as `_{variation.alias}`")
    if variation.base:
        parts.append(f"with {', '.join(f'`_{name}`' for name in variation.base)}")
    for group, choice in variation.default_variations.items():
        parts.append(f"`_{choice}` unless another {group} is asked for")
    return "; ".join(parts)


def _settings(raw: Any) -> str:
    """Return what a variation sets and which tags it gives to what the recipe needs."""
    parts = [f"`{name}={value}`" for name, value in (raw.get("env") or {}).items()]
    for kind in ("add_deps", "ad", "add_deps_recursive", "adr"):
        for name, update in (raw.get(kind) or {}).items():
            if isinstance(update, dict) and update.get("tags"):
                parts.append(f"`{update['tags']}` of {name}")
    return ", ".join(parts)


def _combinations(recipe: Recipe) -> Iterator[str]:
    for words, combinations in (
        ("Only these go together", recipe.valid_variation_combinations),
        ("These do not go together", recipe.invalid_variation_combinations),
    ):
        if combinations:
            shown = "; ".join(", ".join(f"`_{name}`" for name in each) for each in combinations)
            yield ""
            yield f"{words}: {shown}."


def _needs(recipe: Recipe, neighbours: Sequence[Recipe]) -> Iterator[str]:
    needed = list(dependencies_of(recipe, neighbours))
    if not needed:
        return
    yield "## Needs"
    yield ""
    yield "| recipe | when | name for `--adr` |"
    yield "|---|---|---|"
    for each in needed:
        names = ", ".join(map(_code, each.dependency.names))
        yield _row(_link(each), _when(each), names)


def _link(needed: Needed) -> str:
    tags = _code(",".join(needed.dependency.tags))
    return f"[{tags}](../{needed.recipe.folder.name}/README.md)" if needed.recipe else tags


def _when(needed: Needed) -> str:
    origin = f", with `_{needed.variation}`" if needed.variation else ""
    origin = f", for version {needed.version}" if needed.version else origin
    return f"{_PHASES[needed.phase]}{origin}{conditions_text(needed.dependency.conditions)}"


def conditions_text(conditions: Conditions) -> str:
    """Return in words when a dependency takes part; "" for always."""
    parts = (
        ("if", " and ", conditions.enable_all),
        ("if", " or ", conditions.enable_any),
        ("unless", " and ", conditions.skip_all),
        ("unless", " or ", conditions.skip_any),
    )
    return "".join(
        f", {word} {joint.join(_condition(name, rule[name]) for name in rule)}"
        for word, joint, rule in parts
        if rule
    )


def _condition(name: str, values: tuple[str, ...]) -> str:
    meant = truth(values)
    if meant is None:
        return f"{_code(name)} is {' or '.join(map(_code, values))}"
    return f"{_code(name)} is set" if meant else f"{_code(name)} is not set"


def _outputs(recipe: Recipe) -> Iterator[str]:
    keys = list(dict.fromkeys(key for layer in recipe.all_layers for key in layer.new_env_keys))
    states = list(dict.fromkeys(key for layer in recipe.all_layers for key in layer.new_state_keys))
    if not keys and not states:
        return
    described = recipe.raw.get("output_description") or {}
    yield "## Outputs"
    yield ""
    for key in keys:
        text = (described.get(key) or {}).get("desc", "")
        yield f"- {_code(key)}{': ' if text else ''}{_prose(text)}"
    for key in states:
        yield f"- {_code(key)}, in the state"


def _cache(recipe: Recipe) -> Iterator[str]:
    yield "## Cache"
    yield ""
    text = _CACHED if recipe.is_cached else _NOT_CACHED
    yield text + (_KEPT if recipe.keeps_across_versions else "")


def _elsewhere(recipe: Recipe, repository: str) -> Iterator[str]:
    tags = ",".join(recipe.tags)
    yield "## Under another engine"
    yield ""
    yield f"mlcflow runs the same recipe from `meta.yaml`: `mlcr {tags}`."
    yield "Where another repository's `script` automation is found first, name this one in front:"
    yield f"`cm run {repository}:script --tags={tags}`."


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _prose(text: str) -> str:
    """Return a text so that Markdown shows it as it is: ``<model>`` is no tag, ``*`` no accent."""
    return text.replace("<", "&lt;").replace("*", "\\*")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _value(value: Any) -> str:
    return "" if value in (None, "") else _code(str(value))
