"""The command that runs one recipe again, as a person would type it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import is_secret_name
from cm4storage.scripting.environment import COMMAND_VARIABLE, exported_text
from cm4storage.scripting.inputs import is_secret
from cm4storage.scripting.own_flags import OWN_VARIABLES, own_flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def rerun_command(prepared: Prepared) -> str:
    """Return the command; a secret in it is shown as ``***``."""
    words = ["run", "script", f"--tags={recipe_tags(prepared)}", *_of_the_call(prepared)]
    return f"{_command()} {shlex.join([*words, *_flags(prepared)])}"


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
    ):
        if value:
            yield f"--{name}={value}"
    for name, value in own_flags(call.env).items():
        yield f"--{name}={value}"
    yield from flag_words(call.add_deps, "--ad.")
    below = {k: v for k, v in call.add_deps_recursive.items() if k in prepared.known_names}
    yield from flag_words(below, "--adr.")


def _command() -> str:
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
            yield f"--{name}={'***' if is_secret_name(name) else exported_text(value)}"
