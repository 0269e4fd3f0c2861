"""Reading files that others wrote: JSON with NaN, YAML, and whatever is damaged."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class UnreadableFileError(ValueError):
    """A file that is not what its name says; the text says why, without the folder."""


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; NaN and Infinity, which DLIO writes, become None.

    Raises
    ------
    UnreadableFileError
    """
    text = _text(path)
    try:
        document = json.loads(text, parse_constant=lambda _: None)
    except RecursionError as error:
        raise UnreadableFileError(f"{path.name} is nested too deeply") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UnreadableFileError(f"{path.name} is no JSON: {error.msg}, {where}") from error
    except ValueError as error:  # a number of thousands of digits
        raise UnreadableFileError(f"{path.name} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableFileError(f"{path.name} holds no object")
    return document


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises
    ------
    UnreadableFileError
    """
    import yaml

    try:
        return yaml.load(_text(path), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except RecursionError as error:
        raise UnreadableFileError(f"{path.name} is nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise UnreadableFileError(f"{path.name} is no YAML: {error.problem}{where}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableFileError(f"{path.name} is no YAML") from error


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise UnreadableFileError(f"{path.name} is no file")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path.name} is no UTF-8, byte {error.start}") from error
    except OSError as error:
        raise UnreadableFileError(f"{path.name}: {error.strerror}") from error


def number(value: object) -> float | None:
    """Return a finite number, also one that is written as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def mapping(value: object) -> dict[str, Any]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def seconds_between(start: object, end: object) -> float | None:
    """Return the time between two ISO 8601 times; None where one of them is none."""
    if not isinstance(start, str) or not isinstance(end, str):
        return None
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):  # TypeError: one of them has a time zone
        return None
