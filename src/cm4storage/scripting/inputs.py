"""``--inputs``: which variable they set, what they may hold, and which are unknown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError, is_secret_name
from cm4storage.scripting.metadata import InputSpec
from cm4storage.scripting.nearest import nearest
from cm4storage.scripting.request import OWN_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cm4storage.scripting.metadata import Recipe

_TRUE = ("yes", "true", "on", "1")
_FALSE = ("no", "false", "off", "0", "")


@dataclass(frozen=True)
class MappedInputs:
    """The outcome: variables to set, and the inputs that no key of the mapping took."""

    env: Mapping[str, Any]
    left: Mapping[str, Any]


def map_inputs(
    recipe: Recipe,
    mapping: Mapping[str, str],
    inputs: Mapping[str, Any],
    caller_folder: Path,
) -> MappedInputs:
    """Return what `inputs` mean to `recipe`.

    Raises
    ------
    UsageError
        If a value has the wrong type or is none of the choices.
    UserError
        If an input of the type ``file`` names no file.
    """
    env = {}
    for name, key in mapping.items():
        if name in inputs:
            spec = recipe.inputs.get(name, InputSpec(name))
            env[key] = _checked(spec, inputs[name], caller_folder)
    left = {name: value for name, value in inputs.items() if name not in mapping}
    return MappedInputs(env, left)


def specs_by_variable(recipe: Recipe, mapping: Mapping[str, str]) -> dict[str, InputSpec]:
    """Return the description of the input behind each variable."""
    return {key: recipe.inputs[name] for name, key in mapping.items() if name in recipe.inputs}


def is_secret(name: str, spec: InputSpec | None) -> bool:
    """Tell whether a variable holds a secret, by its name or its input's description."""
    return is_secret_name(name) or (spec is not None and spec.is_secret)


def refuse_unknown(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Raise for the first of `unknown`, naming the nearest of `known`.

    Raises
    ------
    UsageError
        If there is any.
    """
    listed = sorted(known)
    for name in sorted(unknown):
        near = nearest(name, [*listed, *OWN_FLAGS])
        hint = f"did you mean --{near}? " if near else ""
        inputs = ", ".join(f"--{item}" for item in listed) or "none"
        raise UsageError(
            f"no recipe of this run knows the input --{name}",
            advice=f"{hint}Known inputs: {inputs}",
        )


def _checked(spec: InputSpec, value: Any, caller_folder: Path) -> Any:
    if spec.type == "flag":
        return _flag(spec, value)
    if not spec.type:
        return value
    if isinstance(value, (bool, dict, list)):
        raise _wrong(spec, value, "needs a value" if value is True else f"must be a {spec.type}")
    text = str(value)
    if spec.type in ("int", "float"):
        _check_number(spec, text)
    if spec.choices and text not in spec.choices:
        raise _wrong(spec, value, f"must be one of {', '.join(spec.choices)}")
    if spec.type in ("path", "file"):
        text = _absolute(text, caller_folder)
    if spec.type == "file" and text and "://" not in text and not Path(text).is_file():
        raise UserError(f"--{spec.name}: there is no such file", where=text)
    return text


def _flag(spec: InputSpec, value: Any) -> str:
    text = str(value).lower()
    if text not in _TRUE + _FALSE:
        raise _wrong(spec, value, "is a flag: give it no value, or yes or no")
    return "yes" if text in _TRUE else "no"


def _check_number(spec: InputSpec, text: str) -> None:
    kind = "a whole number" if spec.type == "int" else "a number"
    try:
        (int if spec.type == "int" else float)(text)
    except ValueError:
        raise _wrong(spec, text, f"must be {kind}") from None


def _absolute(text: str, caller_folder: Path) -> str:
    if not text or "://" in text:
        return text
    return os.path.abspath(caller_folder / Path(text).expanduser())  # noqa: PTH100 - keeps links


def _wrong(spec: InputSpec, value: Any, rule: str) -> UsageError:
    shown = "" if is_secret(spec.name, spec) or value is True else f", not {value!r}"
    return UsageError(f"--{spec.name} {rule}{shown}", meaning=spec.description)
