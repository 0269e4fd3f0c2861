"""From layers of raw values to typed settings, with notes for what was odd."""

from __future__ import annotations

import reprlib
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.workload import documents, schema
from cm4storage.workload.composition import Composer, read_config
from cm4storage.workload.entries import Entry, Layer, Origin, entries_of, merged
from cm4storage.workload.grammar import Override, parse_override
from cm4storage.workload.interpolation import (
    Interpolation,
    Surroundings,
    expanded,
    holds_interpolation,
)
from cm4storage.workload.problems import Problem, require_none

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SWITCHED_BY_WORKFLOW = ("checkpoint.", "profiling.", "model.")
"""Sections that matter only with their switch in ``workflow``, which has a note of its own."""

PARAMS = "--params"


@dataclass(frozen=True)
class Settings:
    """Typed values by canonical path, where they come from, and what is to be said of them.

    Attributes
    ----------
    values : dict
    origins : dict
        The `Origin` of each of `values`.
    notes : tuple of str
        What the user should know: keys without effect.
    problems : tuple of Problem
        All that is wrong.
    entries : dict
        The raw values, interpolations included.
    """

    values: dict[str, Any]
    notes: tuple[str, ...] = ()
    origins: dict[str, Origin] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    entries: dict[str, Entry] = field(default_factory=dict)


def read_file(path: Path) -> Settings:
    """Read a DLIO workload YAML of any dialect, unmodified.

    Raises
    ------
    UserError
        If the file cannot be read, is no YAML mapping, or has a value of a wrong type.
    """
    return _checked(Composer().compose(read_config(path), path).layers)


def read_text(text: str, source: str) -> Settings:
    """Read a DLIO workload from YAML text; `source` stands in messages. See `read_file`."""
    return _checked(Composer().compose(documents.parse(text, source)).layers)


def parse_overrides(text: str) -> Settings:
    """Read overrides such as ``reader.read_threads=4 train.epochs=2``; the last one of a key wins.

    Raises
    ------
    UserError
        For a word that is no override, an unknown key or a wrong type.
    """
    return _checked([override_layer(split_overrides(text))])


def _checked(layers: Iterable[Layer]) -> Settings:
    settings = typed(merged(layers), Surroundings())
    require_none(list(settings.problems))
    return settings


def split_overrides(text: str) -> list[Override]:
    """Return the overrides in a text such as the value of ``--params``.

    Raises
    ------
    UserError
        For an open quote, or a word that is no override.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"{PARAMS} has an open quote: {text}") from error
    return [override_of(word, PARAMS) for word in words]


def override_of(word: str, source: str) -> Override:
    """Return the override that one word means.

    Raises
    ------
    UserError
    """
    try:
        return parse_override(word)
    except ValueError as error:
        raise UserError(
            f"{source}: {word!r} {error}",
            advice='write KEY=VALUE, such as "reader.read_threads=4 train.epochs=2"',
        ) from error


def override_layer(overrides: Iterable[Override], source: str = PARAMS) -> Layer:
    """Return the layer that overrides make; later ones of a key go before earlier ones.

    Raises
    ------
    UserError
        If a key is to be removed that does not exist.
    """
    entries: dict[str, Entry] = {}
    removed: list[str] = []
    for override in overrides:
        name = override.path.removeprefix("workload.")
        if override.action == "remove":
            removed.append(_removed(name, override, source))
            entries = {p: e for p, e in entries.items() if p != removed[-1]}
            continue
        origin = Origin("override", f"{source} {override.text}")
        layers = [
            Layer(entries),
            Layer({e.path: e for e in entries_of(name, override.value, origin)}),
        ]
        entries = merged(layers)
    return Layer(entries, tuple(removed))


def _removed(name: str, override: Override, source: str) -> str:
    path, known = schema.canonical_path(name), schema.keys()
    if path in known or schema.is_section(path) or schema.without_effect(path):
        return path
    guess = schema.nearest(name)
    hint = f"; did you mean {guess}?" if guess else ""
    raise UserError(f"there is no key {name} to remove{hint}", where=f"{source} {override.text}")


def typed(entries: dict[str, Entry], surroundings: Surroundings) -> Settings:
    """Return the typed values of raw ones; what is wrong is in `Settings.problems`."""
    reader = _Typing(entries, surroundings)
    for entry in reader.entries():
        reader.take(entry)
    return reader.settings()


class _Typing:
    """Types one value after the other and collects what is to be said."""

    def __init__(self, entries: dict[str, Entry], surroundings: Surroundings) -> None:
        self._raw = entries
        self._interpolation = Interpolation(entries, surroundings)
        self._values: dict[str, Any] = {}
        self._origins: dict[str, Origin] = {}
        self._notes: list[str] = []
        self._problems: list[Problem] = []

    def settings(self) -> Settings:
        return Settings(
            self._values, tuple(self._notes), self._origins, tuple(self._problems), self._raw
        )

    def entries(self) -> list[Entry]:
        """Return the entries, those last that others may use by interpolation."""
        try:
            table = expanded(self._raw, self._interpolation)
        except ValueError as error:
            self._problems.append(Problem("error", f"in an interpolation: {error}"))
            table = self._raw
        known = schema.keys()
        return sorted(table.values(), key=lambda entry: entry.path not in known)

    def take(self, entry: Entry) -> None:
        key = schema.keys().get(entry.path)
        try:
            if key is None:
                self._unknown(entry)
            else:
                self._known(key, entry)
        except UserError as error:
            self._problems.append(Problem.of(error))

    def _known(self, key: schema.Key, entry: Entry) -> None:
        raw = self._resolved(entry)
        if raw is None and not key.takes_null:
            return
        try:
            value = key.parse(raw)
        except ValueError as error:
            raise UserError(
                f"{entry.name}: {error}, got {_shown(raw)}", where=_where(entry)
            ) from error
        self._values[key.path], self._origins[key.path] = value, entry.origin
        self._note(key, entry, value)

    def _note(self, key: schema.Key, entry: Entry, value: Any) -> None:
        if key.inert:
            self._notes.append(f"{entry.name}: {key.inert}")
        elif not key.done and value != key.default and not _is_switched(entry):
            self._notes.append(f"{entry.name}: accepted, but this version does not act on it")

    def _resolved(self, entry: Entry) -> Any:
        if not holds_interpolation(entry.raw):
            return entry.raw
        try:
            return self._interpolation.value(entry)
        except ValueError as error:
            raise UserError(f"{entry.name}: {error}", where=_where(entry)) from error

    def _unknown(self, entry: Entry) -> None:
        if schema.is_refused(entry.path):
            raise UserError(
                f"{entry.name} is not supported by this version",
                where=_where(entry),
                meaning="it decides what is written, so that ignoring it would measure "
                "something else",
            )
        reason = schema.without_effect(entry.path)
        if reason is not None:
            if not _is_switched(entry):
                self._notes.append(f"{entry.name}: {reason}")
            return
        guess = schema.nearest(entry.path)
        hint = f"; did you mean {guess}?" if guess else ""
        if entry.origin.kind == "override":
            raise UserError(f"there is no key {entry.name}{hint}", where=_where(entry))
        if entry.path not in self._interpolation.used:
            self._notes.append(f"{entry.name}: unknown key, ignored{hint}")


def _is_switched(entry: Entry) -> bool:
    return entry.path.startswith(_SWITCHED_BY_WORKFLOW)


def _shown(raw: Any) -> str:
    return repr(raw) if isinstance(raw, (int, float)) else reprlib.repr(raw)


def _where(entry: Entry) -> str:
    origin = entry.origin
    return origin.where if origin.kind == "override" else f"{origin.where}, key {entry.name}"
