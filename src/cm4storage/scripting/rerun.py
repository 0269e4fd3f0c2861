"""The command that runs one recipe again, as a person would type it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cm4storage.scripting.environment import exported_text
from cm4storage.scripting.inputs import is_secret

if TYPE_CHECKING:
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
    words = ["cm", "run", "script", f"--tags={recipe_tags(prepared)}"]
    if prepared.call.versions.exact:
        words.append(f"--version={prepared.call.versions.exact}")
    flags = {key: f"--{name}" for name, key in prepared.mapping.items()}
    for key in {**flags, **prepared.defaults}:
        if key not in prepared.incoming or prepared.incoming[key] == prepared.defaults.get(key):
            continue
        hidden = is_secret(key, prepared.specs.get(key))
        text = "***" if hidden else exported_text(prepared.incoming[key])
        if text:
            words.append(f"{flags.get(key, f'--env.{key}')}={text}")
    return shlex.join(words)
