"""The JSON Schema of recipes' metadata, and what in a recipe is not as it says."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.scripting.authoring.findings import Finding
from cm4storage.scripting.authoring.sources import Source, shown_place
from cm4storage.scripting.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_FILE = Path(__file__).with_name("recipe.schema.json")
_UNKNOWN = "additionalProperties"
_SHOWN_LENGTH = 60
_MOST_LISTED = 20


@functools.cache
def recipe_schema() -> dict[str, Any]:
    """Return the schema of ``_cm.yaml``."""
    return dict(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def check_schema(source: Source, *, is_strict: bool) -> Iterator[Finding]:
    """Yield what breaks the schema; unknown keys only if `is_strict`.

    Raises
    ------
    UserError
        If the library that validates is missing.
    """
    for error in _validator().iter_errors(dict(source.value)):
        if error.validator == _UNKNOWN:
            if is_strict:
                yield from _unknown_keys(source, error)
            continue
        place = tuple(error.absolute_path)
        where = f"{shown_place(place)}: " if place else ""
        yield Finding(
            source.file,
            source.line(*place),
            "schema",
            f"{where}{_rule(error)}",
            str(error.schema.get("description", "")),
        )


def _unknown_keys(source: Source, error: Any) -> Iterator[Finding]:
    known = sorted(error.schema["properties"])
    for name in error.instance:
        if name not in known:
            place = (*error.absolute_path, name)
            near = nearest(str(name), known)
            advice = f"did you mean {near}?" if near else _listed(known)
            what = f"{shown_place(place)}: there is no such key"
            yield Finding(source.file, source.line(*place), "unknown-key", what, advice)


def _listed(known: list[str]) -> str:
    if len(known) > _MOST_LISTED:
        return f"{SCHEMA_FILE} lists those that there are"
    return f"known here: {', '.join(known)}"


def _rule(error: Any) -> str:
    """Return the rule that a value breaks, in words."""
    value, rule = _shown(error.instance), error.validator_value
    if error.validator in ("type", "pattern") and "title" in error.schema:
        return f"must be {error.schema['title']}, not {value}"
    if error.validator == "type":
        kinds = [rule] if isinstance(rule, str) else rule
        return f"must be of the type {' or '.join(kinds)}, not {value}"
    texts = {
        "required": "the key {missing} is missing",
        "enum": "must be one of {rule}, not {value}",
        "pattern": "{value} does not fit {rule}",
        "minimum": "must be at least {rule}, not {value}",
        "maximum": "must be at most {rule}, not {value}",
        "minLength": "must not be empty",
        "minItems": "must not be empty",
    }
    text = texts.get(error.validator)
    if text is None:
        return str(error.message)
    missing = ""
    if error.validator == "required":
        missing = ", ".join(name for name in rule if name not in error.instance)
    listed = ", ".join(map(str, rule)) if isinstance(rule, list) else rule
    return text.format(missing=missing, rule=listed, value=value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


@functools.cache
def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator  # a tenth of a second, for lint alone
    except ImportError as error:
        raise UserError(
            "the Python package jsonschema is needed to check recipes, and is not installed",
            advice=f"{sys.executable} -m pip install jsonschema",
        ) from error
    return Draft202012Validator(recipe_schema())
