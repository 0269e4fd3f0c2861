"""Interpolations in values: ``${reader.batch_size}``, ``${.sibling}``, ``${oc.env:VAR,default}``.

Source of the notation: "Variable interpolation" and "Resolvers" in the documentation of OmegaConf
2.3, and the resolvers ``now`` and ``hydra`` of Hydra 1.3.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cm4storage.workload import schema
from cm4storage.workload.entries import Entry, nested
from cm4storage.workload.grammar import parse_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST = 65536
_DEEPEST = 60
_RESOLVERS = "oc.env, oc.select, oc.decode, now and hydra"


@dataclass(frozen=True)
class Surroundings:
    """What interpolations can see beside the workload's own keys.

    Attributes
    ----------
    hydra : mapping
        Values of ``${hydra:...}``, by dotted path.
    moment : datetime
        What ``${now:...}`` formats.
    """

    hydra: Mapping[str, Any] = field(default_factory=dict)
    moment: datetime = field(default_factory=lambda: datetime.now().astimezone())


def holds_interpolation(raw: object) -> bool:
    """Tell whether there is an interpolation in a raw value."""
    if isinstance(raw, str):
        return "${" in raw
    if isinstance(raw, dict):
        return any(map(holds_interpolation, raw.values()))
    return isinstance(raw, (list, tuple)) and any(map(holds_interpolation, raw))


class Interpolation:
    """Resolves the interpolations of one workload.

    Parameters
    ----------
    entries : mapping
        All raw values by canonical path.
    surroundings : Surroundings
    """

    def __init__(self, entries: Mapping[str, Entry], surroundings: Surroundings) -> None:
        self._entries = entries
        self._around = surroundings
        self._known: dict[str, Any] = {}
        self.used: set[str] = set()
        self._resolvers: dict[str, Callable[[list[str], str, tuple[str, ...]], Any]] = {
            "oc.env": self._env,
            "oc.select": self._select,
            "oc.decode": self._decode,
            "now": self._now,
            "hydra": self._hydra,
        }

    def value(self, entry: Entry) -> Any:
        """Return the value of `entry` with all interpolations replaced.

        Raises
        ------
        ValueError
            Saying what cannot be resolved.
        """
        return self._entry(entry, ())

    def text(self, text: str) -> Any:
        """Return a text that stands outside of all sections with its interpolations replaced."""
        return self._text(text, "", ())

    def _entry(self, entry: Entry, chain: tuple[str, ...]) -> Any:
        if entry.path in self._known:
            return self._known[entry.path]
        if entry.path in chain:
            circle = " -> ".join([*chain[chain.index(entry.path) :], entry.path])
            raise ValueError(f"the interpolation goes in a circle: {circle}")
        if len(chain) > _DEEPEST:
            raise ValueError(f"the interpolation goes over more than {_DEEPEST} keys")
        value = self._any(entry.raw, entry.name, (*chain, entry.path))
        self._known[entry.path] = value
        return value

    def _any(self, raw: Any, name: str, chain: tuple[str, ...]) -> Any:
        if isinstance(raw, str):
            return self._text(raw, name, chain) if "${" in raw else raw
        if isinstance(raw, dict):
            return {k: self._any(v, f"{name}.{k}", chain) for k, v in raw.items()}
        if isinstance(raw, list):
            return [self._any(v, f"{name}.{i}", chain) for i, v in enumerate(raw)]
        return raw

    def _text(self, text: str, name: str, chain: tuple[str, ...]) -> Any:
        """Return a text's value: that of the interpolation if it is nothing else, else a text."""
        parts: list[Any] = []
        at = 0
        while (start := text.find("${", at)) >= 0:
            if start > at and text[start - 1] == "\\":
                parts += [text[at : start - 1], "${"]
                at = start + 2
                continue
            end = _closing(text, start)
            parts += [text[at:start]] if start > at else []
            parts.append(self._expression(text[start + 2 : end], name, chain))
            at = end + 1
        parts += [text[at:]] if at < len(text) else []
        if len(parts) == 1:
            return parts[0]
        if any(isinstance(part, (dict, list, tuple)) for part in parts):
            raise ValueError(f"a list or mapping cannot be part of the text {text!r:.60}")
        joined = "".join(map(str, parts))
        if len(joined) > _LONGEST:
            raise ValueError("the interpolation gives a text that is too long")
        return joined

    def _expression(self, text: str, name: str, chain: tuple[str, ...]) -> Any:
        if len(chain) > _DEEPEST:
            raise ValueError("the interpolation is nested too deep")
        if "${" in text:
            text = str(self._text(text, name, (*chain, "")))
        resolver, colon, arguments = text.partition(":")
        if not colon:
            return self._key(text.strip(), name, chain)
        resolve = self._resolvers.get(resolver.strip())
        if resolve is None:
            raise ValueError(f"there is no resolver {resolver.strip()}; known are {_RESOLVERS}")
        return resolve(_arguments(arguments), name, chain)

    def _key(self, path: str, name: str, chain: tuple[str, ...]) -> Any:
        found, value = self._lookup(_absolute(path, name), chain)
        if found:
            return value
        guess = schema.nearest(path.lstrip("."))
        hint = f"; did you mean {guess}?" if guess else ""
        raise ValueError(f"${{{path}}} names no key{hint}")

    def _lookup(self, path: str, chain: tuple[str, ...]) -> tuple[bool, Any]:
        if path.startswith("hydra."):
            return self._hydra_value(path.removeprefix("hydra."))
        path = path.removeprefix("workload.")
        canonical = schema.canonical_path(path)
        entry = self._entries.get(canonical) or self._entries.get(path)
        if entry is not None:
            self.used.add(entry.path)
            return True, self._entry(entry, chain)
        below = [e for e in self._entries.values() if e.name.startswith(f"{path}.")]
        if below:
            self.used.update(e.path for e in below)
            values = {e.name.removeprefix(f"{path}."): self._entry(e, chain) for e in below}
            return True, nested(values)
        key = schema.keys().get(canonical)
        if key is None:
            return False, None
        default = key.default
        return True, default.to_plain() if key.is_distribution else default

    def _env(self, arguments: list[str], name: str, chain: tuple[str, ...]) -> Any:
        del name, chain
        if not arguments:
            raise ValueError("${oc.env:...} needs the name of a variable")
        variable = arguments[0]
        if variable in os.environ:
            return os.environ[variable]
        if len(arguments) < 2:
            raise ValueError(f"the environment variable {variable} is not set")
        default = parse_value(",".join(arguments[1:]))
        return None if default is None else str(default)

    def _select(self, arguments: list[str], name: str, chain: tuple[str, ...]) -> Any:
        found, value = self._lookup(_absolute(arguments[0], name), chain)
        if found:
            return value
        return parse_value(",".join(arguments[1:])) if len(arguments) > 1 else None

    def _decode(self, arguments: list[str], name: str, chain: tuple[str, ...]) -> Any:
        del name, chain
        return parse_value(",".join(arguments))

    def _now(self, arguments: list[str], name: str, chain: tuple[str, ...]) -> Any:
        del name, chain
        return self._around.moment.strftime(",".join(arguments))

    def _hydra(self, arguments: list[str], name: str, chain: tuple[str, ...]) -> Any:
        del name, chain
        path = arguments[0] if arguments else ""
        found, value = self._hydra_value(path)
        if not found:
            known = ", ".join(self._around.hydra) or "none here"
            raise ValueError(f"${{hydra:{path}}} is not known; known are {known}")
        return value

    def _hydra_value(self, path: str) -> tuple[bool, Any]:
        value = self._around.hydra.get(path)
        return path in self._around.hydra, value


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0 and at > start + 1:
            return at
    raise ValueError(f"the interpolation in {text!r:.60} is not closed")


def _absolute(path: str, name: str) -> str:
    """Return the path that a relative one means at the key `name`: one dot is its own section."""
    dots = len(path) - len(path.lstrip("."))
    if dots == 0:
        return path
    above = name.split(".")[:-dots] if dots <= name.count(".") + 1 else None
    if above is None:
        raise ValueError(f"${{{path}}} leads out of the file")
    return ".".join([*above, path[dots:]])


def _arguments(text: str) -> list[str]:
    """Split at commas that are not within brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        depth += (character in "[{(") - (character in "]})") if not quote else 0
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts] if text else []


def expanded(entries: Mapping[str, Entry], interpolation: Interpolation) -> dict[str, Entry]:
    """Return `entries` where a section that is one interpolation stands as the keys it means.

    Raises
    ------
    ValueError
        See `Interpolation.value`.
    """
    table: dict[str, Entry] = {}
    for path, entry in entries.items():
        if not holds_interpolation(entry.raw) or not schema.is_section(path) or path == "model":
            table[path] = entry
            continue
        value = interpolation.value(entry)
        if not isinstance(value, dict):
            table[path] = replace(entry, raw=value)
            continue
        for name, raw in value.items():
            full = schema.canonical_path(f"{path}.{name}")
            table[full] = Entry(full, f"{path}.{name}", raw, entry.origin)
    return table
