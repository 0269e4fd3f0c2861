"""``--help``: what a recipe does, takes and offers, from its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.scripting.variations import group_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.scripting.metadata import InputSpec, Recipe, Variation

USAGE = """\
usage: cm run script --tags=TAG,TAG,_VARIATION [--INPUT=VALUE ...] [flags]
       cm run script "TAG TAG _VARIATION"
       cm run script --tags=TAG,TAG --help   what a recipe takes
       cm find script [--tags=TAG]           which recipes there are
       cm show|add|lint|doc|test script      for their authors; --help says how

tags         all must be tags of one recipe; _x switches a variation on, -_x keeps it off
--INPUT=V    an input of the recipe, or of a recipe that it runs
--env.X=V    a variable; the recipe's own env and inputs go before it
--const.X=V  a variable that nothing goes before
--adr.N.tags=_x   tags for every dependency named N; --ad for the recipe's own only
--fake_run   show what would run, in which order, and what the cache would give; start nothing
--renew      make the recipe's cache entry again; --skip_cache: neither read nor write it
--print_deps how to run each recipe of the run alone; runs them, too, but with --fake_run
--print_env  the variables that it puts out; --save_env: in cm-env.sh and cm-env.json, --shell: in
             a shell    --time  how long each recipe took    --repro  a record of the run
--name=X     a cache entry of that name; --extra_cache_tags=A,B: more tags for it
--force_cache  cache a recipe that leaves it to you    --allow_sudo  let recipes use sudo, apt etc.
--quiet      never ask    -s  say less    -v  tracebacks    -j  the result as JSON on stdout
@FILE.yaml   flags and inputs from a file"""


def recipe_help(recipe: Recipe) -> Iterator[str]:
    """Yield the lines of a recipe's help."""
    yield f"{recipe.alias}: {recipe.name or ','.join(recipe.tags)}"
    yield f"cm run script --tags={','.join(recipe.tags)}"
    yield f"cached: {'yes' if recipe.is_cached else 'no'}    {recipe.metadata_file}"
    yield from _inputs(recipe)
    yield from _variations(recipe)


def _inputs(recipe: Recipe) -> Iterator[str]:
    names = list(dict.fromkeys((*recipe.inputs, *recipe.layer.input_mapping)))
    if names:
        yield ""
        yield "inputs:"
    for name in names:
        spec = recipe.inputs.get(name)
        key = recipe.layer.input_mapping.get(name, "")
        default = recipe.layer.default_env.get(key, spec.default if spec else None)
        yield f"  {_flag(name, spec):<28}  {_described(spec, default)}".rstrip()


def _flag(name: str, spec: InputSpec | None) -> str:
    if spec is None or not spec.type:
        return f"--{name}=..."
    if spec.type == "flag":
        return f"--{name}"
    if spec.type == "settings":
        return f"--{name}.KEY=VALUE"
    return f"--{name}={'|'.join(spec.choices) or spec.type.upper()}"


def _described(spec: InputSpec | None, default: object) -> str:
    text = spec.description if spec else ""
    text = f"{text}{range_text(spec)}" if spec else text
    shown = default not in (None, "") and not (spec and spec.is_secret)
    return f"{text} [{default}]" if shown else text


def range_text(spec: InputSpec) -> str:
    """Return the range of an input in words; "" if it has none."""
    limits = (("at least", spec.minimum), ("at most", spec.maximum))
    said = " and ".join(f"{words} {limit}" for words, limit in limits if limit is not None)
    return f" ({said})" if said else ""


def _variations(recipe: Recipe) -> Iterator[str]:
    defaults = group_defaults(recipe)
    listed = [v for v in recipe.variations.values() if "," not in v.name]
    for group in (*defaults, ""):
        members = [v for v in listed if v.group == group]
        if members:
            yield ""
            yield f"variations, one of the group {group}:" if group else "variations:"
        for variation in members:
            is_default = bool(group) and variation.name == defaults[group]
            yield _variation(recipe, variation, is_default=is_default)


def _variation(recipe: Recipe, variation: Variation, *, is_default: bool) -> str:
    notes = [variation.description] if variation.description else []
    if variation.alias:
        notes.append(f"the same as _{variation.alias}")
    if is_default:
        notes.append(f"(default{unless_text(recipe, variation)})")
    return f"  {'_' + variation.name:<28}  {' '.join(notes)}".rstrip()


def unless_text(recipe: Recipe, variation: Variation) -> str:
    """Return in words which inputs keep a group's default off; "" if none does."""
    flags = {
        key: f"--{name}" for layer in recipe.all_layers for name, key in layer.input_mapping.items()
    }
    given = [flags.get(key, f"--env.{key}") for key in variation.default_unless_env]
    if not given:
        return ""
    return f", unless {' or '.join(given)} is given"
