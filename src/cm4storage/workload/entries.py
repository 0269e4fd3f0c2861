"""Raw values of workload keys by canonical path, each with the place that it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from cm4storage.core.errors import UserError
from cm4storage.workload import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cm4storage.workload.documents import Document

Kind = Literal["default", "stock", "file", "quick", "override", "seed"]


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Attributes
    ----------
    kind : str
        ``file`` and ``stock`` are YAML files; ``quick`` is the scale; ``override`` is ``--params``.
    place : str
        The file, or the override as it was written.
    line : int or None
    """

    kind: Kind
    place: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """Return it in the words of a table's cell."""
        if self.kind in ("file", "stock"):
            line = "" if self.line is None else f":{self.line}"
            name = f"{self.place.rpartition('/')[2]}{line}"
            return name if self.kind == "file" else f"stock {self.place}{line}"
        return _WORDS[self.kind]

    @property
    def where(self) -> str:
        """The place in the words of an error."""
        line = "" if self.line is None else f", line {self.line}"
        name = {"stock": f"stock {self.place}", "quick": "quick scale"}.get(self.kind, self.place)
        return f"{name}{line}"


_WORDS = {
    "default": "default",
    "quick": "quick scale",
    "override": "override",
    "seed": "--seed",
}


@dataclass(frozen=True)
class Entry:
    """One raw value.

    Attributes
    ----------
    path : str
        Canonical, or as written where the key is unknown.
    name : str
        As written, without ``workload.``.
    raw : object
    origin : Origin
    """

    path: str
    name: str
    raw: Any
    origin: Origin


@dataclass(frozen=True)
class Layer:
    """The entries of one file, or of all overrides, by canonical path.

    Attributes
    ----------
    entries : dict
    removed : tuple of str
        Paths that overrides such as ``~key`` remove from what lies below.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


def layer_of(
    document: Document,
    tree: Mapping[str, Any],
    kind: Kind,
    *,
    below: tuple[str, ...] = (),
    package: tuple[str, ...] = (),
) -> Layer:
    """Return the entries of `tree`, which is the part of `document` at `below`.

    Parameters
    ----------
    package : tuple of str
        The section that the file's content belongs under.

    Raises
    ------
    UserError
        If two names of one key have different values.
    """

    def entries() -> Iterator[Entry]:
        for parts, raw in _leaves(tree, package):
            origin = Origin(kind, document.source, document.line((*below, *parts)))
            yield _entry(".".join((*package, *parts)), raw, origin)

    return Layer(_without_conflicts(entries()))


def _entry(name: str, raw: Any, origin: Origin) -> Entry:
    distribution, _, parameter = name.rpartition(".")
    key = schema.keys().get(schema.canonical_path(distribution))
    if key is not None and key.is_distribution:  # one parameter of a mapping
        return Entry(key.path, distribution, {parameter: raw}, origin)
    return Entry(schema.canonical_path(name), name, raw, origin)


def entries_of(name: str, raw: Any, origin: Origin) -> list[Entry]:
    """Return the entries of one override, whose value may be a mapping of many keys."""
    parts = tuple(name.split("."))
    if isinstance(raw, dict) and not _is_leaf(parts):
        return [_entry(".".join((*parts, *p)), v, origin) for p, v in _leaves(raw, parts)]
    return [_entry(name, raw, origin)]


def _leaves(
    tree: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the paths below `above`, with the values that no key lies below."""
    for name, value in tree.items():
        if isinstance(value, dict) and not _is_leaf((*above, name)):
            inner = ((parts, raw) for parts, raw in _leaves(value, (*above, name)))
            yield from (((name, *parts), raw) for parts, raw in inner)
        else:
            yield (name,), value


def _is_leaf(parts: tuple[str, ...]) -> bool:
    path = ".".join(parts)
    return path != "model" and schema.is_leaf(path)


def _without_conflicts(entries: Iterable[Entry]) -> dict[str, Entry]:
    table: dict[str, Entry] = {}
    for entry in entries:
        other = table.get(entry.path)
        if other is not None and other.name != entry.name and other.raw != entry.raw:
            raise UserError(
                f"{other.name} and {entry.name} are two names of one key, with two values",
                where=f"{entry.origin.place}, lines {other.origin.line} and {entry.origin.line}",
                advice="keep one of them",
            )
        table[entry.path] = entry
    return table


def merged(layers: Iterable[Layer]) -> dict[str, Entry]:
    """Return the entries that remain where later layers go before earlier ones."""
    table: dict[str, Entry] = {}
    for layer in layers:
        for path in layer.removed:
            _remove(table, path)
        for path, entry in layer.entries.items():
            table[path] = _over(table.get(path), entry)
    return table


def _remove(table: dict[str, Entry], path: str) -> None:
    for known in [p for p in table if p == path or p.startswith(f"{path}.")]:
        del table[known]


def _over(below: Entry | None, entry: Entry) -> Entry:
    """Return `entry` with what it leaves in place of a mapping such as {mean: 1, stdev: 0.1}."""
    if below is None or not isinstance(entry.raw, dict):
        return entry
    old = below.raw
    if isinstance(old, (int, float)) and "mean" not in entry.raw and "type" not in entry.raw:
        old = {"mean": old}
    if not isinstance(old, dict) or entry.raw.get("type", old.get("type")) != old.get("type"):
        return entry
    return replace(entry, raw={**old, **entry.raw})


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted path as mappings of mappings, as they stand in a YAML file."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        place = tree
        for section in sections:
            inner = place.setdefault(section, {})
            if not isinstance(inner, dict):  # ``model: NAME`` beside keys of the section model
                inner = place[section] = {"name": inner}
            place = inner
        place[name] = value
    return tree
