"""The keys of a workload as a table, derived from the sections."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.workload.coercion import coerce
from cm4storage.workload.sections import (
    IGNORED_BY_DLIO,
    KEYS_WITHOUT_EFFECT,
    REFUSED_KEYS,
    SECTION_ALIASES,
    SECTIONS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Key:
    """One key: its canonical dotted path, type, default, range, and the field that holds it."""

    path: str
    annotation: Any
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    done: bool = True
    field: str = ""

    def parse(self, value: object) -> Any:
        """Return `value` in this key's type.

        Raises
        ------
        ValueError
            Saying what was expected.
        """
        typed = coerce(self.annotation, value)
        if self.minimum is not None and typed is not None and typed < self.minimum:
            raise ValueError(f"must be at least {self.minimum:g}")
        if self.maximum is not None and typed is not None and typed > self.maximum:
            raise ValueError(f"must be at most {self.maximum:g}")
        return typed


@functools.cache
def keys() -> Mapping[str, Key]:
    """Return all keys by canonical path, ``framework`` included."""
    table = {"framework": Key("framework", str, "tensorflow")}
    for section, kind in SECTIONS.items():
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            facts = {k: v for k, v in field.metadata.items() if k not in ("aliases", "path")}
            path = f"{section}.{_name(field)}"
            table[path] = Key(path, hints[field.name], field.default, field=field.name, **facts)
    return table


def _name(field: dataclasses.Field[Any]) -> str:
    """Return the key's name below its section."""
    return field.metadata.get("path") or field.name


@functools.cache
def _aliases() -> Mapping[str, str]:
    table = {"model": "model.name"}
    for section, kind in SECTIONS.items():
        for field in dataclasses.fields(kind):
            for alias in field.metadata.get("aliases", ()):
                full = alias if "." in alias else f"{section}.{alias}"
                table[full] = f"{section}.{_name(field)}"
    return table


def canonical_path(path: str) -> str:
    """Return the canonical path of `path`, which may be an older name; unknown ones unchanged."""
    section, dot, rest = path.partition(".")
    path = f"{SECTION_ALIASES.get(section, section)}{dot}{rest}"
    return _aliases().get(path, path)


def is_leaf(path: str) -> bool:
    """Tell whether the value at `path` is one value, even where it is a mapping."""
    return canonical_path(path) in keys() or path in KEYS_WITHOUT_EFFECT | REFUSED_KEYS


def without_effect(path: str) -> str | None:
    """Return why a known key has no effect here, or None for other keys."""
    if path in IGNORED_BY_DLIO:
        return "DLIO itself ignores this key"
    if path in KEYS_WITHOUT_EFFECT:
        return "this version does not act on it"
    return None


def is_refused(path: str) -> bool:
    """Tell whether a key of DLIO decides what is read in a way that this version cannot follow."""
    return canonical_path(path) in REFUSED_KEYS


def nearest(path: str) -> str | None:
    """Return the known key that looks most like `path`, if any does."""
    candidates = [*keys(), *_aliases()]
    matches = difflib.get_close_matches(path, candidates, n=1, cutoff=0.6)
    if not matches:
        last = {key.rpartition(".")[2]: key for key in candidates}
        close = difflib.get_close_matches(path.rpartition(".")[2], last, n=1, cutoff=0.75)
        matches = [last[name] for name in close]
    return matches[0] if matches else None
