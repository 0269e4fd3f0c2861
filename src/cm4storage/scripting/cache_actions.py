"""What ``cm show|find|rm cache`` do, without cmind; for ``cm prune cache`` see `cache_prune`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError, is_secret_name
from cm4storage.core.units import format_bytes, format_count
from cm4storage.scripting.cache_removal import InUseError, remove
from cm4storage.scripting.cache_selection import (
    LEFTOVER_TAGS,
    Coverage,
    Found,
    everything,
    folder_size_bytes,
    is_narrowed,
    query_of,
    selected,
)
from cm4storage.scripting.console import Console
from cm4storage.scripting.durations import format_age
from cm4storage.scripting.request import is_on, refuse_unknown_options, shows_lines, wants_json
from cm4storage.scripting.uses import EntryUses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.scripting.cache import CacheStore

_SHOWN_VALUE_LENGTH = 40
_SHOWN_USERS = 4


def find_entries(given: Mapping[str, Any], store: CacheStore) -> list[dict[str, Any]]:
    """Return the entries with the tags or the uid asked for, and list their folders."""
    refuse_unknown_options(given, (), "cm find cache")
    query = query_of(given)
    takes_leftovers = set(LEFTOVER_TAGS) <= set(query.tags)
    found = [each for each in selected(query, store) if each.is_complete or takes_leftovers]
    if shows_lines(given):
        console = Console(sys.stdout)
        for each in found:
            console.line(str(each.folder))
    return [each.as_json() for each in found]


def show_entries(given: Mapping[str, Any], store: CacheStore) -> list[dict[str, Any]]:
    """Return what was asked for, and show each with size, age, tags, key and users.

    What broken-off runs left is shown as incomplete.
    """
    refuse_unknown_options(given, (), "cm show cache")
    coverage, uses = Coverage(everything(store)), EntryUses(store.locks)
    described = [
        {
            **each.as_json(),
            "size_bytes": folder_size_bytes(each.folder),
            "age_s": round(each.age_s),
            "key": {} if each.entry is None else dict(each.entry.parts.get("key", {})),
            "used_by_processes": list(uses.users(each.uid)),
            "covered_by": coverage.above(each),
        }
        for each in selected(query_of(given), store)
    ]
    if shows_lines(given):
        console = Console(sys.stdout)
        for shown in described:
            for line in _lines(shown):
                console.line(line)
        if not described:
            console.line(f"no entry in {store.folder}")
        elif len(described) > 1:
            total_bytes = sum(int(shown["size_bytes"]) for shown in described)
            console.line(f"{len(described)} in all, {format_bytes(total_bytes)}")
    return described


def _lines(shown: Mapping[str, Any]) -> Iterator[str]:
    when = format_age(shown["age_s"])
    state = when if shown["state"] == "complete" else f"{shown['state']}, {when}"
    size = format_bytes(shown["size_bytes"])
    yield f"{shown['uid']}  {size:>10}  {state}  {shown['recipe_alias']}".rstrip()
    if shown["recipe_alias"]:
        yield f"    tags  {','.join(shown['tags'])}"
        yield f"    key   {_key_text(shown['key'])}"
    users = _users_text(shown)
    if users:
        yield f"    used  {users}"
    if shown["keeps_data"]:
        yield "    data  kept until you remove them: prune leaves them unless named"
    yield f"    {shown['folder']}"


def _key_text(key: Mapping[str, Any]) -> str:
    """Return in short what a key covers."""
    variations = ",".join(f"_{name}" for name in key.get("variations", ()))
    inputs = {**key.get("inputs", {}), **key.get("later_inputs", {})}
    parts = [
        f"variations {variations}" if variations else "",
        f"version {key['version']}" if key.get("version") else "",
        " ".join(_input_text(name, value) for name, value in key.get("asked", {}).items()),
        " ".join(_input_text(name, value) for name, value in inputs.items()),
        f"code of {format_count(len(key['code']), 'file')}" if key.get("code") else "",
        ", ".join(f"{alias} {digest[:8]}" for alias, digest in key.get("deps", ())),
    ]
    return "; ".join(part for part in parts if part) or "the recipe alone"


def _input_text(name: str, value: Any) -> str:
    if is_secret_name(name):
        return f"{name}=***"
    text = str(value["file"] if isinstance(value, dict) and "file" in value else value)
    cut = text if len(text) <= _SHOWN_VALUE_LENGTH else f"{text[:_SHOWN_VALUE_LENGTH]}..."
    return f"{name}={cut}"


def _users_text(shown: Mapping[str, Any]) -> str:
    processes = shown["used_by_processes"]
    covering = shown["covered_by"]
    parts = []
    if processes:
        noun = "process" if len(processes) == 1 else "processes"
        parts.append(f"by {noun} {', '.join(map(str, processes))}")
    if covering:
        more = f" and {len(covering) - _SHOWN_USERS} more" if len(covering) > _SHOWN_USERS else ""
        parts.append(f"in the key of {', '.join(covering[:_SHOWN_USERS])}{more}")
    return "; ".join(parts)


def remove_entries(given: Mapping[str, Any], store: CacheStore) -> list[dict[str, Any]]:
    """Remove the entries asked for, after asking; ``-f`` and ``--quiet`` do not ask.

    Raises
    ------
    UsageError
        If there is nobody to ask, or neither tags nor a uid were given.
    UserError
        If there is no such entry, or a run uses it; others are removed nevertheless.
    """
    refuse_unknown_options(given, ("all", "dry_run"), "cm rm cache")
    query = query_of(given)
    if not (is_narrowed(query) or is_on(given, "all")):
        raise UsageError(
            "which entries?", advice="cm rm cache --tags=TAG,_VARIATION, or a uid, or --all"
        )
    found = selected(query, store)
    if not found:
        raise UserError(f"the cache has no entry for {query.text() or 'this'}")
    console = Console(sys.stderr if wants_json(given) else sys.stdout)
    if is_on(given, "dry_run"):
        for each in found:
            console.line(f"would remove {each.folder}")
        return [each.as_json() for each in found]
    removed, used = [], []
    for each in [each for each in found if _is_agreed(given, each, console)]:
        try:
            remove(each, store)
        except InUseError as error:
            used.append(f"{each.folder} ({error})")
        else:
            removed.append(each)
            console.line(f"removed {each.folder}")
    if used:
        raise UserError(
            f"not removed, because a run needs it: {', '.join(used)}",
            advice="wait until that run has ended, or stop it",
        )
    return [each.as_json() for each in removed]


def _is_agreed(given: Mapping[str, Any], each: Found, console: Console) -> bool:
    if is_on(given, "f", "force", "quiet", "q"):
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", advice="add -f to remove without asking")
    console.line(f"{each.uid}  {','.join(each.tags) or each.state}")
    console.line("remove this entry? (y/N)")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
