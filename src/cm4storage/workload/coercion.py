"""From YAML values to the types that the sections declare, with errors that say the rule."""

from __future__ import annotations

import math
import re
import types
import typing
from typing import Any

from cm4storage.workload.distributions import Distribution
from cm4storage.workload.plugin_choice import PluginChoice, plugin_choices
from cm4storage.workload.sections import ELEMENT_TYPES, ParquetColumn

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST_NUMBER = 1e308
_LARGEST_COLUMN = 2**31 - 1
PluginChoices = tuple[PluginChoice, ...]
_COLUMN_TYPES = (*ELEMENT_TYPES, "string", "binary", "list")


def coerce(annotation: Any, value: object) -> Any:
    """Return `value` as the type `annotation`.

    YAML's quirks are undone first: ``off`` is the text "off" where a text is wanted, and ``1e6``,
    which YAML 1.1 reads as a text, is a number where a number is wanted.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    if annotation == PluginChoices:
        return plugin_choices(value)
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return _coerce_optional(annotation, value)
    if origin is typing.Literal:
        return _coerce_choice(typing.get_args(annotation), value)
    if origin is tuple:
        return _coerce_list(typing.get_args(annotation)[0], value)
    return _COERCIONS[annotation](value)


def _coerce_optional(annotation: Any, value: object) -> Any:
    if value is None:
        return None
    (inner,) = (part for part in typing.get_args(annotation) if part is not type(None))
    return coerce(inner, value)


def _coerce_list(item: Any, value: object) -> tuple[Any, ...]:
    if item is str and isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected a list")  # noqa: TRY004 - a value of the user
    return tuple(coerce(item, each) for each in value)


def _column(value: object) -> ParquetColumn:
    hints = typing.get_type_hints(ParquetColumn)
    if not isinstance(value, dict) or "name" not in value or set(value) - set(hints):
        raise ValueError(f"expected columns such as {{name: c, dtype: float32}}: {value!r}")
    column = ParquetColumn(**{name: coerce(hints[name], v) for name, v in value.items()})
    if not 1 <= column.size <= _LARGEST_COLUMN:
        raise ValueError(f"column {column.name} must have a size of at least 1, and below 2**31")
    if column.dtype not in _COLUMN_TYPES:
        raise ValueError(f"column {column.name}: dtype is one of {', '.join(_COLUMN_TYPES)}")
    return column


def _coerce_choice(choices: tuple[str, ...], value: object) -> str:
    text = "off" if value is False else str(value)
    if text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}")
    return text


def _number(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("expected a number")  # noqa: TRY004 - a value of the user
    if abs(value) > _LARGEST_NUMBER or not math.isfinite(value):
        raise ValueError("expected a number that is finite")
    return int(value) if value == int(value) else value  # 4096.0 and 4096 are one value


def _whole_number(value: object) -> int:
    try:
        number = _number(value)
    except ValueError:
        raise ValueError("expected a whole number") from None
    if not isinstance(number, int):
        raise ValueError("expected a whole number")  # noqa: TRY004 - a value of the user
    return number


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError("expected true or false")


def _text(value: object) -> str:
    if value is False:
        return "off"
    if isinstance(value, (dict, list)) or value is None:
        raise ValueError("expected a text")
    return str(value)


def _distribution(value: object) -> Distribution:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Distribution.parse(float(value))
    return Distribution.parse(value)


_COERCIONS: dict[Any, Any] = {
    int: _whole_number,
    float: _number,
    bool: _truth,
    str: _text,
    Distribution: _distribution,
    ParquetColumn: _column,
}
