"""Metadata files as they stand on disk, and their parts, checked key by key."""

from __future__ import annotations

import functools
import json
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

METADATA_FILES = ("_cm.yaml", "_cm.json")
NOTHING: Mapping[str, Any] = MappingProxyType({})

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def nothing() -> Mapping[str, Any]:
    """Return the empty mapping: the default of fields, for which it must not be mutable."""
    return NOTHING


@dataclass(frozen=True)
class Part:
    """A mapping of the metadata file, with the place that errors name."""

    file: str
    place: str
    raw: Mapping[str, Any]

    def wrong(self, key: str, rule: str) -> UserError:
        """Return the error for the value of `key`."""
        place = f"{self.place}.{key}" if self.place else key
        return UserError(f"{place}: {rule}, not {self.raw.get(key)!r}", where=self.file)

    def text(self, key: str) -> str:
        """Return a scalar as text; "" when it is missing."""
        value = self.raw.get(key)
        if isinstance(value, (dict, list)):
            raise self.wrong(key, "must be a single value")
        return "" if value is None else str(value)

    def flag(self, key: str) -> bool:
        """Return a boolean; CM's yes and no in quotes are accepted."""
        value = self.raw.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if str(value).lower() in ("yes", "true", "on", "no", "false", "off", ""):
            return str(value).lower() in ("yes", "true", "on")
        raise self.wrong(key, "must be true or false")

    def number(self, key: str) -> float | None:
        """Return a number; None when it is missing."""
        value = self.raw.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self.wrong(key, "must be a number")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a mapping; an empty one when it is missing."""
        value = self.raw.get(key)
        if value is None:
            return NOTHING
        if not isinstance(value, dict):
            raise self.wrong(key, "must be a mapping")
        return {str(name): item for name, item in value.items()}

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text stands for a list of one."""
        value = self.raw.get(key)
        if value is None:
            return ()
        if isinstance(value, (str, int, float)):
            return tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not isinstance(value, list):
            raise self.wrong(key, "must be a list")
        if any(isinstance(item, bool) for item in value):
            raise self.wrong(key, "must hold texts (quote yes, no, on and off)")
        return tuple(str(item) for item in value)

    def text_lists(self, key: str) -> Mapping[str, tuple[str, ...]] | None:
        """Return a mapping of lists of texts; None when it is missing."""
        if self.raw.get(key) is None:
            return None
        inner = Part(self.file, f"{self.place}.{key}", self.mapping(key))
        return {name: inner._values(name) for name in inner.raw}

    def _values(self, key: str) -> tuple[str, ...]:
        value = self.raw[key]
        items = value if isinstance(value, list) else [value]
        return tuple(str(item) for item in items)

    def mappings(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """Return a mapping of mappings."""
        inner = Part(self.file, f"{self.place}.{key}".lstrip("."), self.mapping(key))
        return {name: inner.mapping(name) for name in inner.raw}

    def joined_mappings(self, *keys: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the mappings under keys that mean the same; what is none names no dependency."""
        found = [self.mapping(key) for key in keys if self.raw.get(key)]
        pairs = [pair for each in found for pair in each.items() if isinstance(pair[1], dict)]
        return dict(pairs) if pairs else NOTHING

    def parts(self, key: str) -> list[Part]:
        """Return a list of mappings as parts."""
        value = self.raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "must be a list of mappings")
        place = f"{self.place}.{key}".lstrip(".")
        return [Part(self.file, f"{place}[{n}]", item) for n, item in enumerate(value)]


def as_path(place: str | os.PathLike[str]) -> Path:
    """Return a path object; pathlib is imported by the first, since many runs need none."""
    from pathlib import Path

    return Path(place)


def read_metadata(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata of the artifact in `folder`; ``_cm.json`` refines ``_cm.yaml``.

    Raises
    ------
    UserError
        If a file is no valid YAML or JSON, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    for name in METADATA_FILES:
        path = f"{os.fspath(folder)}/{name}"
        if os.path.exists(path):
            merged.update(_parsed(path, file_stamp(path)))
    return merged


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Return what changes whenever a file is edited, even within one tick or with its old time."""
    status = os.stat(path)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


@functools.lru_cache(maxsize=8192)
def _parsed(path: str, stamp: tuple[int, ...]) -> Mapping[str, Any]:  # noqa: ARG001 - for the memo
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        value = json.loads(text) if path.endswith(".json") else yaml.load(text, Loader=LOADER)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"cannot read the metadata file {os.path.basename(path)}",
            where=path,
            meaning=str(error),
        ) from error
    if not isinstance(value, dict):
        raise UserError("a metadata file must hold a mapping", where=path)
    return value
