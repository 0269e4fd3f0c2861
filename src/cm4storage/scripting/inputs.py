"""``--inputs``: which variable they set, what they may hold, and which are unknown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError, is_secret_name
from cm4storage.core.records import dataclass
from cm4storage.scripting.metadata import InputSpec
from cm4storage.scripting.metadata_files import as_path
from cm4storage.scripting.nearest import nearest
from cm4storage.scripting.request import OWN_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cm4storage.scripting.metadata import Recipe
    from cm4storage.scripting.prepare import Call

_OTHER_ENGINES = {
    "debug_script": "To look around after a run: --shell. ",
    "debug_script_tags": "To look around after a run: --shell. ",
    "dirty": "What a failed recipe leaves is removed; its log stays. ",
    "dump_version_info": "--repro records versions. ",
    "fake_deps": "--fake_run starts nothing at all. ",
    "ignore_script_error": "A recipe that failed is never taken for one that did not. ",
    "pause": "Nothing waits for a key; --shell opens a shell at the end. ",
    "print_readme": "cm doc script writes it. ",
    "print_versions": "--repro records versions. ",
    "repro_dir": "--repro writes to cm-repro in the current folder. ",
    "repro_prefix": "--repro writes to cm-repro in the current folder. ",
    "skip_remembered_selections": "No selection is remembered. ",
    "space": "cm show cache shows sizes. ",
}
"""Flags of the original automation that mean nothing here, and what does instead."""

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
    caller_folder: str,
) -> MappedInputs:
    """Return what `inputs` mean to `recipe`.

    Raises
    ------
    UsageError
        If a value has the wrong type or is none of the choices.
    UserError
        If an input of the type ``file`` names nothing that can be read.
    """
    env = {}
    for name, key in mapping.items():
        if name in inputs:
            spec = recipe.inputs.get(name, InputSpec(name))
            env[key] = _checked(spec, name, inputs[name], caller_folder)
    left = {name: value for name, value in inputs.items() if name not in mapping}
    return MappedInputs(env, left)


def specs_by_variable(recipe: Recipe, mapping: Mapping[str, str]) -> dict[str, InputSpec]:
    """Return the description of the input behind each variable."""
    return {key: recipe.inputs[name] for name, key in mapping.items() if name in recipe.inputs}


def is_secret(name: str, spec: InputSpec | None) -> bool:
    """Tell whether a variable holds a secret, by its name or its input's description."""
    return is_secret_name(name) or (spec is not None and spec.is_secret)


def secrets_of_call(
    call: Call, recipes: Iterable[Recipe], specs: Mapping[str, InputSpec]
) -> Iterator[str]:
    """Yield the values of a call that any recipe of the run describes as secret.

    Parameters
    ----------
    specs : Mapping
        The description of the input behind each variable.
    """
    for recipe in recipes:
        for name, spec in recipe.inputs.items():
            if is_secret(name, spec) and call.inputs.get(name):
                yield str(call.inputs[name])
    for values in (call.env, call.const):
        for name, value in values.items():
            if value and is_secret(name, specs.get(name)):
                yield str(value)


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
        hint = _OTHER_ENGINES.get(name, hint)
        inputs = ", ".join(f"--{item}" for item in listed) or "none"
        raise UsageError(
            f"no recipe of this run knows the input --{name}",
            advice=f"{hint}Known inputs: {inputs}",
        )


def refuse_unknown_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise for the first name in ``--adr.NAME`` that no dependency of the run has.

    Raises
    ------
    UsageError
        If there is any; names the nearest.
    """
    listed = sorted(known)
    for name in sorted(set(given) - set(listed)):
        near = nearest(name, listed)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError(
            f"--adr.{name}: no dependency of this run has that name",
            advice=f"{hint}Known names: {', '.join(listed) or 'none'}",
        )


def check_variables(
    specs: Mapping[str, InputSpec], kind: str, values: Mapping[str, Any], caller_folder: str
) -> dict[str, Any]:
    """Return what ``--env.X=`` or ``--const.X=`` mean for variables that are inputs, too.

    An empty value stands for a variable that is not set.

    Raises
    ------
    UsageError, UserError
        As `map_inputs`.
    """
    return {
        name: _checked(specs[name], f"{kind}.{name}", value, caller_folder)
        if name in specs and value != ""
        else value
        for name, value in values.items()
    }


def _checked(spec: InputSpec, flag: str, value: Any, caller_folder: str) -> Any:
    if spec.type == "flag":
        return _flag(spec, flag, value)
    if not spec.type:
        return value
    if spec.type == "settings":
        return " ".join(_settings(spec, flag, value))
    if isinstance(value, (bool, dict, list)):
        rule = "needs a value" if value is True else f"must be a {spec.type}"
        raise _wrong(spec, flag, value, rule)
    text = str(value)
    if spec.type in ("int", "float"):
        _check_number(spec, flag, text)
    if spec.choices and text not in spec.choices:
        raise _wrong(spec, flag, value, f"must be one of {', '.join(spec.choices)}")
    if spec.type in ("path", "file"):
        if not text:
            raise UsageError(f"--{flag} needs a value", meaning=spec.description)
        text = _absolute(text, caller_folder)
    if spec.type == "file" and "://" not in text:
        _check_file(flag, text)
    return text


def _flag(spec: InputSpec, flag: str, value: Any) -> str:
    text = str(value).lower()
    if text not in _TRUE + _FALSE:
        raise _wrong(spec, flag, value, "is a flag: give it no value, or yes or no")
    return "yes" if text in _TRUE else "no"


def _settings(spec: InputSpec, flag: str, value: Any, key: str = "") -> Iterator[str]:
    """Yield ``KEY=VALUE`` of each ``--flag.KEY=VALUE``; a key may have dots of its own.

    The values are as they were written. A text is what this yielded before, as a command to run
    again has it.
    """
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _settings(spec, flag, inner, f"{key}.{name}" if key else name)
    elif isinstance(value, (bool, dict)) or value in ("", None):
        raise UsageError(
            f"--{flag}.{key} needs a value" if key else f"--{flag} needs a key and a value",
            meaning=spec.description,
            advice=f"--{spec.name}.KEY=VALUE",
        )
    else:
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield f"{key}={text}" if key else text


def _check_number(spec: InputSpec, flag: str, text: str) -> None:
    kind = "a whole number" if spec.type == "int" else "a number"
    try:
        number = (int if spec.type == "int" else float)(text)
    except ValueError:
        raise _wrong(spec, flag, text, f"must be {kind}") from None
    # Written so that NaN is outside of every range.
    if spec.minimum is not None and not number >= spec.minimum:
        raise _wrong(spec, flag, text, f"must be at least {spec.minimum}", is_number=True)
    if spec.maximum is not None and not number <= spec.maximum:
        raise _wrong(spec, flag, text, f"must be at most {spec.maximum}", is_number=True)


def _check_file(flag: str, text: str) -> None:
    path = as_path(text)
    try:
        if path.is_dir():
            raise UserError(f"--{flag}: this is a folder, not a file", where=text)
        if not path.exists():
            raise UserError(f"--{flag}: there is no such file", where=text)
        if not path.is_file():
            raise UserError(f"--{flag}: this is no ordinary file", where=text)
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"--{flag}: cannot be read: {error.strerror}", where=text) from error


def _absolute(text: str, caller_folder: str) -> str:
    if "://" in text:
        return text
    return os.path.abspath(os.path.join(caller_folder, os.path.expanduser(text)))  # keeps links


def _wrong(
    spec: InputSpec, flag: str, value: Any, rule: str, *, is_number: bool = False
) -> UsageError:
    is_hidden = is_secret(spec.name, spec) or is_secret_name(flag) or value is True
    shown = "" if is_hidden else f", not {value if is_number else repr(value)}"
    return UsageError(f"--{flag} {rule}{shown}", meaning=spec.description)
