"""The command that runs one recipe again, as a person would type it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import is_secret_name
from cm4storage.scripting.environment import (
    COMMAND_VARIABLE,
    FLAG_KEYS,
    HOST_KEYS,
    exported_text,
)
from cm4storage.scripting.inputs import is_secret
from cm4storage.scripting.own_flags import OWN_VARIABLES, own_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from cm4storage.scripting.prepare import Prepared


def recipe_tags(prepared: Prepared) -> str:
    """Return the recipe's tags and the variations that its caller chose."""
    query = prepared.call.query
    return ",".join(
        (
            *prepared.recipe.tags,
            *(f"_{name}" for name in query.variations),
            *(f"-_{name}" for name in query.without_variations),
        )
    )


def rerun_command(prepared: Prepared, shown: Callable[[str], str]) -> str:
    """Return the command; a secret in it is shown as ``***``.

    Parameters
    ----------
    shown : callable
        Takes the known secrets out of a word, before quotes for the shell change how they look.
    """
    words = ["run", "script", f"--tags={recipe_tags(prepared)}", *_of_the_call(prepared)]
    return f"{cm_command()} {shlex.join(map(shown, [*words, *_flags(prepared)]))}"


def flag_words(values: Mapping[str, Any], prefix: str = "--") -> Iterator[str]:
    """Yield nested values as cm's flags: ``--a.b=c``; a secret as ``***``."""
    for name, value in values.items():
        flag = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from flag_words(value, f"{flag}.")
        elif value is True:
            yield flag
        else:
            yield f"{flag}={'***' if is_secret_name(str(name)) else exported_text(value)}"


def _of_the_call(prepared: Prepared) -> Iterator[str]:
    """Yield what belongs to this call alone, and what it says about recipes below."""
    call = prepared.call
    versions = call.versions
    for name, value in (
        ("version", versions.exact),
        ("version_min", versions.least),
        ("version_max", versions.most),
        ("version_max_usable", versions.most_usable),
    ):
        if value:
            yield f"--{name}={value}"
    for name, value in own_flags(call.env).items():
        yield f"--{name}={value}"
    if prepared.is_cached and not prepared.recipe.is_cached:
        yield "--force_cache"
    if call.is_top:  # the state of a recipe above is more than flags can say
        yield from flag_words(call.state, "--state.")
    yield from flag_words(call.add_deps, "--ad.")
    below = {k: v for k, v in call.add_deps_recursive.items() if k in prepared.known_names}
    yield from flag_words(below, "--adr.")


def cm_command() -> str:
    """Return how the user calls ``cm``: a command, or a few words of a shell."""
    return os.environ.get(COMMAND_VARIABLE, "").strip() or "cm"


def _flags(prepared: Prepared) -> Iterator[str]:
    flags = {key: f"--{name}" for name, key in prepared.mapping.items()}
    for key in {**flags, **prepared.defaults}:
        if (
            key in OWN_VARIABLES.values()
            or key not in prepared.incoming
            or prepared.incoming[key] == prepared.defaults.get(key)
        ):
            continue
        text = exported_text(prepared.incoming[key])
        if text:
            hidden = is_secret(key, prepared.specs.get(key))
            yield f"{flags.get(key, f'--env.{key}')}={'***' if hidden else text}"
    for name, value in prepared.inputs.items():
        if name in prepared.known_inputs:
            hidden = is_secret_name(name) or name in prepared.secret_inputs
            yield f"--{name}={'***' if hidden else exported_text(value)}"
    shown = {*flags, *prepared.defaults}
    yield from _variables(prepared, "env", _given_env(prepared, shown))
    yield from _variables(prepared, "const", _left(prepared, prepared.call.const, shown))


def _given_env(prepared: Prepared, shown: Collection[str]) -> dict[str, Any]:
    """Return what the call sets and no input stands for; not what any call here would bring."""
    own = {*OWN_VARIABLES.values(), *FLAG_KEYS}
    return {
        name: value
        for name, value in _left(prepared, prepared.call.env, shown).items()
        if name not in own
        and name not in prepared.call.const
        and not (name in HOST_KEYS and os.environ.get(name) == value)
    }


def _left(prepared: Prepared, values: Mapping[str, Any], shown: Collection[str]) -> dict[str, Any]:
    """Return those of `values` that are not shown yet, and that may mean something here.

    To a recipe below that declares its inputs, only these and its version do.
    """
    declared = None if prepared.call.is_top else prepared.declared
    return {
        name: value
        for name, value in values.items()
        if name not in shown
        and (declared is None or name in declared or name.startswith("CM_VERSION"))
    }


def _variables(prepared: Prepared, kind: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        comma = "," if isinstance(value, list) else ""  # as cmind takes a list
        hidden = is_secret(name, prepared.specs.get(name)) and exported_text(value)
        yield f"--{kind}.{name}{comma}={'***' if hidden else exported_text(value)}"
