"""The keys that a sweep changes, and the values that each takes."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = re.compile(r"([A-Za-z_][\w-]*(?:\.[\w-]+)+|framework|plugins)=(.*)", re.DOTALL)
_FLAG = "--sweep"


@dataclass(frozen=True)
class Axis:
    """One key and its values, as a user writes them."""

    key: str
    values: tuple[str, ...]


def parse(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Return the axes in texts such as ``reader.read_threads=1 2 4 reader.prefetch_size=2 8``.

    A word ``KEY=VALUE`` begins a key, and each word after it is a further value. A value with
    blanks has quotes around it.

    Raises
    ------
    UsageError
        If there is no key, one stands twice, or has no value.
    """
    values: dict[str, list[str]] = {}
    for text in texts:
        _read(text, values)
    for key, of_key in values.items():
        if not of_key:
            raise UsageError(f"{_FLAG}: {key} has no value", advice=_example())
    if not values:
        raise UsageError(f"{_FLAG} needs a key and its values", advice=_example())
    return tuple(Axis(key, tuple(dict.fromkeys(of_key))) for key, of_key in values.items())


def _read(text: str, values: dict[str, list[str]]) -> None:
    """Take the axes of one text into `values`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{_FLAG}: {error}: {text}", advice=_example()) from error
    current: list[str] | None = None
    for word in words:
        found = _KEY.fullmatch(word)
        if found is None:
            if current is None:
                raise UsageError(f"{_FLAG}: {word!r} is no KEY=VALUE", advice=_example())
            current.append(word)
            continue
        key, first = found.groups()
        if key in values:
            raise UsageError(f"{_FLAG}: {key} stands twice")
        current = values[key] = [first] if first else []


def _example() -> str:
    return f'for example {_FLAG}="reader.read_threads=1 2 4 8"'


def product(axes: Sequence[Axis]) -> list[dict[str, str]]:
    """Return the values by key of every point, the last key changing fastest."""
    keys = [axis.key for axis in axes]
    combinations = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(keys, values, strict=True)) for values in combinations]
