"""The keys of a workload as a table, derived from the sections."""

from __future__ import annotations

import dataclasses
import functools
import typing
from typing import TYPE_CHECKING, Any

from cm4storage.core.records import dataclass
from cm4storage.workload.coercion import PluginChoices, coerce
from cm4storage.workload.distributions import Distribution
from cm4storage.workload.sections import (
    IGNORED_BY_DLIO,
    OPEN_SECTIONS,
    REFUSED_KEYS,
    SECRET_KEYS,
    SECTION_ALIASES,
    SECTIONS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Framework = typing.Literal["tensorflow", "pytorch"]


@dataclass(frozen=True)
class Key:
    """One key: its canonical dotted path, type, default, range, and the field that holds it.

    Attributes
    ----------
    done : bool
        False where this version accepts a value without acting on it.
    inert : str
        Why the key has no effect in DLIO either; empty for most.
    """

    path: str
    annotation: Any
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    done: bool = True
    inert: str = ""
    field: str = ""

    def parse(self, value: object) -> Any:
        """Return `value` in this key's type.

        Raises
        ------
        ValueError
            Saying what was expected.
        """
        typed = coerce(self.annotation, value)
        for number in typed if isinstance(typed, tuple) else (typed,):
            self._check_range(number)
        return typed

    def _check_range(self, number: Any) -> None:
        if not isinstance(number, (int, float)):
            return
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"must be at least {self.minimum:g}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"must be at most {self.maximum:g}")

    @property
    def takes_null(self) -> bool:
        """Whether null is a value of its own, rather than the absence of one."""
        return type(None) in typing.get_args(self.annotation)

    @property
    def is_distribution(self) -> bool:
        """Whether the value is a duration, which may be a mapping such as {mean: 1, stdev: 0.1}."""
        return self.annotation is Distribution


@functools.cache
def keys() -> Mapping[str, Key]:
    """Return all keys by canonical path, ``framework`` and ``plugins`` included."""
    table = {
        "framework": Key("framework", Framework, "tensorflow"),
        "plugins": Key("plugins", PluginChoices, ()),
    }
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
def aliases() -> Mapping[str, str]:
    """Return the canonical paths of all other names, by their full paths."""
    table = {"model": "model.name"}
    for section, kind in SECTIONS.items():
        for field in dataclasses.fields(kind):
            for alias in field.metadata.get("aliases", ()):
                is_full = alias.partition(".")[0] in SECTIONS
                table[alias if is_full else f"{section}.{alias}"] = f"{section}.{_name(field)}"
    return table


def canonical_path(path: str) -> str:
    """Return the canonical path of `path`, which may be an older name; unknown ones unchanged."""
    section, dot, rest = path.partition(".")
    path = f"{SECTION_ALIASES.get(section, section)}{dot}{rest}"
    return aliases().get(path, path)


def is_leaf(path: str) -> bool:
    """Tell whether the value at `path` is one value, even where it is a mapping."""
    return canonical_path(path) in keys() or path in IGNORED_BY_DLIO | REFUSED_KEYS | SECRET_KEYS


def without_effect(path: str) -> str | None:
    """Return why a key that is none of `keys` has no effect here, or None for unknown ones."""
    if path in IGNORED_BY_DLIO:
        return "DLIO itself ignores this key"
    if path in SECRET_KEYS:
        return "never recorded; cm4storage dlio uses it, other commands the AWS_* variables"
    if path.startswith(OPEN_SECTIONS):
        return "DLIO hands it to a client library that is not used here"
    return None


def is_refused(path: str) -> bool:
    """Tell whether a key of DLIO decides what happens in a way that this version cannot follow."""
    return canonical_path(path) in REFUSED_KEYS


@functools.cache
def _is_section(path: str) -> bool:
    return any(known.startswith(f"{path}.") for known in (*keys(), *aliases()))


def is_section(path: str) -> bool:
    """Tell whether there are keys below `path`."""
    return path in SECTION_ALIASES or _is_section(path)


def nearest(path: str) -> str | None:
    """Return the known key that looks most like `path`, if any does."""
    import difflib  # only errors need it

    candidates = [*keys(), *aliases()]
    matches = difflib.get_close_matches(path, candidates, n=1, cutoff=0.6)
    if not matches:
        last = {key.rpartition(".")[2]: key for key in candidates}
        close = difflib.get_close_matches(path.rpartition(".")[2], last, n=1, cutoff=0.75)
        matches = [last[name] for name in close]
    return matches[0] if matches else None
