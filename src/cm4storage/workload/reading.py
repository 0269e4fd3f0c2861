"""Read DLIO YAML files and overrides into typed settings, with notes for what was odd."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import UserError
from cm4storage.workload import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_SWITCHED_BY_WORKFLOW = ("checkpoint.", "evaluation.", "profiling.")
"""Sections that matter only with their switch in ``workflow``, which has a note of its own."""


@dataclass(frozen=True)
class Settings:
    """Typed values by canonical path, and notes for the user about keys without effect."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_file(path: Path) -> Settings:
    """Read a DLIO workload YAML of any dialect, unmodified.

    Raises
    ------
    UserError
        If the file cannot be read, is no YAML mapping, or has a value of a wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"there is no workload file {path.name}",
            where=str(path),
            advice="check --config; a relative path starts at the folder you call from",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"cannot read the workload file: {reason}", where=str(path)) from error
    return read_text(text, str(path))


def read_text(text: str, source: str) -> Settings:
    """Read a DLIO workload from YAML text; `source` stands in messages. See `read_file`."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(
            f"the workload file is not valid YAML: {problem}", where=f"{source}{line}"
        ) from error
    if isinstance(document, dict) and isinstance(document.get("workload"), dict):
        document = document["workload"]
    if not isinstance(document, dict) or not document:
        raise UserError(
            "the workload file holds no settings",
            where=source,
            meaning="a DLIO workload is a mapping with sections such as dataset and reader",
        )
    return _typed(_flatten(document), source, is_override=False)


def parse_overrides(text: str) -> Settings:
    """Read overrides such as ``reader.read_threads=4 train.epochs=2``; the last one of a key wins.

    Raises
    ------
    UserError
        For a word without ``=``, an unknown key or a wrong type.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"--params has an open quote: {text}") from error
    return _typed((_override(word) for word in words), "--params", is_override=True)


def _override(word: str) -> tuple[str, object]:
    path, equals, value = word.partition("=")
    if not equals or not path:
        raise UserError(
            f"--params: {word!r} is not KEY=VALUE",
            advice='write --params="reader.read_threads=4 train.epochs=2"',
        )
    path = path.lstrip("+").removeprefix("workload.")
    try:
        return path, yaml.safe_load(value)
    except yaml.YAMLError:
        return path, value


def _flatten(document: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and (path == "model" or not schema.is_leaf(path)):
            yield from _flatten(value, f"{path}.")
        elif value is not None:
            yield path, value


def _typed(items: Iterable[tuple[str, object]], source: str, *, is_override: bool) -> Settings:
    values: dict[str, Any] = {}
    named: dict[str, str] = {}
    notes: list[str] = []
    for path, raw in items:
        canonical = schema.canonical_path(path)
        key = schema.keys().get(canonical)
        if key is None:
            notes += _unknown(path, source, is_error=is_override)
            continue
        value = _parse(key, path, raw, source)
        if not is_override and values.get(canonical, value) != value:
            raise UserError(
                f"{named[canonical]} and {path} are two names of one key, with two values",
                where=source,
                advice="keep one of them",
            )
        values[canonical], named[canonical] = value, path
        if not key.done and value != key.default and not path.startswith(_SWITCHED_BY_WORKFLOW):
            notes.append(f"{path}: accepted, but this version does not act on it")
    return Settings(values, tuple(notes))


def _parse(key: schema.Key, path: str, raw: object, source: str) -> Any:
    try:
        return key.parse(raw)
    except ValueError as error:
        interpolated = isinstance(raw, str) and "${" in raw
        raise UserError(
            f"{path}: {error}, got {raw!r}",
            where=f"{source}, key {path}",
            advice="${...} is not resolved by this version" if interpolated else "",
        ) from error


def _unknown(path: str, source: str, *, is_error: bool) -> list[str]:
    if schema.is_refused(path):
        raise UserError(
            f"{path} is not supported by this version",
            where=source,
            meaning="it decides what is read, so that ignoring it would measure something else",
        )
    reason = schema.without_effect(path)
    if reason is not None:
        return [] if path.startswith(_SWITCHED_BY_WORKFLOW) else [f"{path}: {reason}"]
    guess = schema.nearest(path)
    hint = f"; did you mean {guess}?" if guess else ""
    if is_error:
        raise UserError(f"there is no key {path}{hint}", where=source)
    return [f"{path}: unknown key, ignored{hint}"]
