"""What ``cm show|find|rm cache`` do, without cmind."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError
from cm4storage.core.units import format_bytes
from cm4storage.scripting.console import Console
from cm4storage.scripting.query import Query
from cm4storage.scripting.request import is_on

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cm4storage.scripting.cache import CacheStore, Entry


def find_entries(given: Mapping[str, Any], store: CacheStore) -> list[Entry]:
    """Return the entries with the tags or the uid asked for, and list their folders."""
    found = _selected(given, store)
    if given.get("out") == "con":
        console = Console(sys.stdout)
        for entry in found:
            console.line(str(entry.folder))
    return found


def show_entries(given: Mapping[str, Any], store: CacheStore) -> list[Entry]:
    """Return the entries asked for, and show each with its size, age and tags."""
    found = _selected(given, store)
    if given.get("out") == "con":
        console = Console(sys.stdout)
        for entry in found:
            size = format_bytes(folder_size_bytes(entry.folder))
            console.line(f"{entry.uid}  {size:>10}  {entry.created}  {entry.recipe_alias}")
            console.line(f"    {','.join(entry.tags)}")
            console.line(f"    {entry.folder}", style="dim")
        if not found:
            console.line(f"no entry in {store.folder}")
    return found


def remove_entries(given: Mapping[str, Any], store: CacheStore) -> list[Entry]:
    """Remove the entries asked for, after asking; ``-f`` and ``--quiet`` do not ask.

    Raises
    ------
    UsageError
        If there is nobody to ask, or neither tags nor a uid were given.
    UserError
        If there is no such entry.
    """
    query = _query(given)
    if not (query.tags or query.name or query.variations or is_on(given, "all")):
        raise UsageError(
            "which entries?", advice="cm rm cache --tags=TAG,_VARIATION, or a uid, or --all"
        )
    found = _selected(given, store)
    if not found:
        raise UserError(f"the cache has no entry for {query.text() or 'this'}")
    console = Console(sys.stdout)
    removed = [entry for entry in found if _is_agreed(given, entry, console)]
    for entry in removed:
        with store.lock(entry.key, lambda: console.line("waiting: a run is using the entry")):
            store.discard(entry.folder)
        console.line(f"removed {entry.folder}")
    return removed


def folder_size_bytes(folder: Path) -> int:
    """Return the size of all files below `folder`."""
    total_bytes = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total_bytes += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - faster
            except OSError:
                continue
    return total_bytes


def _query(given: Mapping[str, Any]) -> Query:
    tags = given.get("tags", "")
    if not isinstance(tags, (str, list)):
        raise UsageError("--tags needs a value")
    artifact = str(given.get("artifact") or "").strip()
    return Query.parse(tags, "" if artifact == "*" else artifact)


def _selected(given: Mapping[str, Any], store: CacheStore) -> list[Entry]:
    query = _query(given)
    wanted = {*query.tags, *(f"_{name}" for name in query.variations)}
    unwanted = {*query.without_tags, *(f"_{name}" for name in query.without_variations)}
    return [
        entry
        for entry in store.entries()
        if wanted <= set(entry.tags)
        and not unwanted & set(entry.tags)
        and (not query.name or query.name in (entry.uid, entry.recipe_alias, entry.recipe_uid))
    ]


def _is_agreed(given: Mapping[str, Any], entry: Entry, console: Console) -> bool:
    if is_on(given, "f", "force", "quiet", "q"):
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", advice="add -f to remove without asking")
    console.line(f"{entry.uid}  {','.join(entry.tags)}")
    sys.stdout.write("remove this entry? (y/N) ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
