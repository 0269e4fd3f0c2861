"""Read JSON that others may have written or damaged."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_DEEPEST = 100


def read_json(path: Path) -> Any:
    """Return what is in a JSON file, all numbers of which are finite and fit a float.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no strict JSON, or values lie in each other more than a hundred deep.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("its values lie too deep in each other") from error
    _require_plain(document)
    return document


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _require_plain(document: Any) -> None:
    """Refuse what later would not survive arithmetic, or being written."""
    level, deep = [document], 0
    while level:
        if deep > _DEEPEST:
            raise ValueError("its values lie too deep in each other")
        if not all(map(_is_finite, level)):
            raise ValueError("it has a number that is too large")
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level, deep = inner, deep + 1


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, (int, float)) or math.isfinite(value)
    except OverflowError:
        return False
