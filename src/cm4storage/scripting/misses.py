"""Why a key is new, in words: what differs from the most similar entry of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.scripting.cache import Entry

_SHOWN_CHANGES = 3
_SHOWN_LENGTH = 60
_CONTEXT_LENGTH = 12
_OWN_KINDS = ("variations", "inputs", "version", "asked", "code", "later_inputs", "later_calls")
_KINDS = (*_OWN_KINDS, "outputs", "state")
# Things whose values are too long to show, or digests.
_UNSHOWN = ("content of ", "--adr.", "--ad.")
# What flows from recipe to recipe under one name.
_FLOWING_KINDS = ("inputs", "later_inputs", "outputs")


def explain_miss(parts: Mapping[str, Any], details: Mapping[str, Any], known: list[Entry]) -> str:
    """Return why a key is new, compared with the most similar of the `known` entries."""
    if not known:
        return "first run"
    flat = _flat(parts, details)
    newest_first = sorted(known, key=lambda entry: entry.created, reverse=True)
    changes = min((_changes(_flat_entry(entry), flat) for entry in newest_first), key=len)
    if not changes:
        return "a dependency changed"
    more = f" and {len(changes) - _SHOWN_CHANGES} more" if len(changes) > _SHOWN_CHANGES else ""
    return "; ".join(changes[:_SHOWN_CHANGES]) + more


def _flat_entry(entry: Entry) -> dict[Any, Any]:
    return _flat(entry.parts.get("key", {}), entry.parts.get("details", {}))


def _flat(parts: Mapping[str, Any], details: Mapping[str, Any]) -> dict[Any, Any]:
    """Return a key's parts as path -> value, those of dependencies under their aliases."""
    flat = dict(_leaves(("",), {name: parts.get(name, {}) for name in _OWN_KINDS}))
    for alias, part in details.items():
        if isinstance(part, dict) and part.get("recipe") != parts.get("recipe"):
            flat |= _leaves((alias,), {name: part[name] for name in _KINDS if name in part})
    flat |= _leaves(("", "later"), parts.get("later", {}))
    return flat


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict) and not _is_file(value):
        for name, item in value.items():
            yield from _leaves((*path, name), item)
    else:
        yield path, value


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"file", "sha256"}


def _changes(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
    """Return the differences in words; an input that several recipes get is named once."""
    found: dict[str, None] = {}
    flowing: set[str] = set()
    for path in [*new, *(path for path in old if path not in new)]:
        if old.get(path) != new.get(path):
            owner, kind, *rest = path
            text = _change(kind, "/".join(rest), old.get(path), new.get(path))
            if kind in _FLOWING_KINDS and text in flowing:
                continue
            flowing.add(text)
            found[_with_owner(owner, text)] = None
    return list(found)


def _with_owner(owner: str, text: str) -> str:
    if owner:
        return f"{owner}: {text}"
    return f"recipe {text}" if text.startswith("code changed") else text


def _change(kind: str, name: str, old: Any, new: Any) -> str:
    if kind == "code":
        return f"code changed ({name})"
    if kind == "variations":
        return f"variations changed {_variations(old)} -> {_variations(new)}"
    what = _called(kind, name, old, new)
    if kind in ("later", "state") or is_secret_name(name) or what.startswith(_UNSHOWN):
        return f"{what} changed"
    return f"{what} changed {' -> '.join(_shown(_text(old), _text(new)))}"


def _called(kind: str, name: str, old: Any, new: Any) -> str:
    """Return what to call the thing that changed."""
    if kind == "later":
        return f"code of {name}"
    if kind == "later_calls":
        place, _, part = name.rpartition("/")
        return f"{part} of {place.partition('/')[0]}"
    if _is_file(old) and _is_file(new) and old["sha256"] != new["sha256"]:
        return f"content of {name}"
    return name or kind


def _variations(value: Any) -> str:
    return ",".join(f"_{name}" for name in value or ()) or "none"


def _text(value: Any) -> Any:
    return value["file"] if _is_file(value) else value


def _shown(old: Any, new: Any) -> tuple[str, str]:
    """Return two values so that their difference is seen: long ones are cut around it."""
    if max(len(repr(old)), len(repr(new))) <= _SHOWN_LENGTH:
        return _quoted(old), _quoted(new)
    first, second = (value if isinstance(value, str) else repr(value) for value in (old, new))
    same = 0
    if old is not None and new is not None:
        pairs = zip(first, second, strict=False)
        same = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    start = max(0, same - _CONTEXT_LENGTH)
    return tuple(  # type: ignore[return-value]
        "unset" if value is None else repr(_cut(text, start))
        for value, text in ((old, first), (new, second))
    )


def _quoted(value: Any) -> str:
    return "unset" if value is None else repr(value)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN_LENGTH - 2 * _CONTEXT_LENGTH
    head, tail = "..." if start else "", "..." if end < len(text) else ""
    return f"{head}{text[start:end]}{tail}"
