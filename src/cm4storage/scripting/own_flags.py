"""Flags that CM turns into variables of the asked recipe alone: ``--name``, ``--path`` etc."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.core.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.metadata import Recipe
    from cm4storage.scripting.prepare import Call
    from cm4storage.scripting.reach import Reach
    from cm4storage.scripting.request import Options

OWN_VARIABLES: Final = {
    "name": "CM_NAME",
    "extra_cache_tags": "CM_EXTRA_CACHE_TAGS",
    "path": "CM_TMP_PATH",
    "input": "CM_INPUT",
    "output": "CM_OUTPUT",
    "outbasename": "CM_OUTBASENAME",
    "outdirname": "CM_OUTDIRNAME",
    "skip_sys_utils": "CM_SKIP_SYS_UTILS",
    "skip_sudo": "CM_TMP_SKIP_SUDO",
}
"""Flag -> variable. A recipe that has an input of this name gets that instead."""

_YES_FLAGS: Final = ("skip_sys_utils", "skip_sudo")
_PATH_VARIABLES: Final = ("CM_TMP_PATH", "CM_INPUT", "CM_OUTPUT", "CM_OUTDIRNAME")
_KEY_VARIABLES: Final = frozenset(OWN_VARIABLES.values())


def with_own_flags(call: Call, recipe: Recipe, reach: Reach, options: Options) -> Call:
    """Return the user's call with these flags as variables.

    Raises
    ------
    UserError
        If ``--force_cache`` is given for a recipe that does not allow it.
    """
    if options.forces_cache and not recipe.is_cached:
        call = _with_cache(call, recipe)
    mapped = {
        name
        for each in (recipe, *reach.recipes)
        for layer in each.all_layers
        for name in layer.input_mapping
    }
    taken = {name for name in OWN_VARIABLES if name in call.inputs and name not in mapped}
    if not taken:
        return call
    given = {OWN_VARIABLES[name]: _value(name, call.inputs[name]) for name in sorted(taken)}
    inputs = {name: value for name, value in call.inputs.items() if name not in taken}
    return replace(call, env={**call.env, **given}, inputs=inputs)


def _with_cache(call: Call, recipe: Recipe) -> Call:
    if recipe.raw.get("can_force_cache"):
        return replace(call, forces_cache=True)
    raise UserError(
        f"{recipe.alias} cannot be cached: its metadata does not allow it",
        where=recipe.metadata_file,
        meaning="--force_cache is for recipes with can_force_cache: true",
        advice="leave out --force_cache",
    )


def asked_of(call: Call, caller_folder: str) -> dict[str, str]:
    """Return these variables of a call: they stay with one recipe, and its result may differ.

    What a relative path means depends on the caller's folder, which is then among them.
    """
    found = {name: str(call.env[name]) for name in sorted(_KEY_VARIABLES & set(call.env))}
    paths = [found[name] for name in _PATH_VARIABLES if found.get(name)]
    if any(not os.path.isabs(path) for path in paths):
        found["(folder)"] = caller_folder
    return found


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _YES_FLAGS:
        return "no" if str(value).lower() in ("no", "false", "off", "0") else "yes"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def own_flags(env: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags that stand for variables in `env`, with their values."""
    return {name: str(env[key]) for name, key in OWN_VARIABLES.items() if env.get(key)}
