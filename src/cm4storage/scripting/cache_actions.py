"""What ``cm show|find|rm cache`` do, without cmind."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError
from cm4storage.core.records import asdict, dataclass
from cm4storage.core.units import format_bytes
from cm4storage.scripting.console import Console
from cm4storage.scripting.query import Query
from cm4storage.scripting.request import is_on, wants_json
from cm4storage.scripting.uses import EntryUses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cm4storage.scripting.cache import CacheStore


@dataclass(frozen=True)
class Found:
    """An entry, or what is left of one."""

    uid: str
    folder: Path
    recipe_alias: str = ""
    recipe_uid: str = ""
    tags: tuple[str, ...] = ()
    created: str = ""
    state: str = "complete"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "folder": str(self.folder), "tags": list(self.tags)}


def find_entries(given: Mapping[str, Any], store: CacheStore) -> list[dict[str, Any]]:
    """Return the entries with the tags or the uid asked for, and list their folders."""
    found = [each for each in _selected(given, store) if each.state == "complete"]
    if _is_listed(given):
        console = Console(sys.stdout)
        for each in found:
            console.line(str(each.folder))
    return [each.as_json() for each in found]


def show_entries(given: Mapping[str, Any], store: CacheStore) -> list[dict[str, Any]]:
    """Return what was asked for, and show each with its size, age and tags.

    What broken-off runs left is shown as incomplete.
    """
    sized = [(each, folder_size_bytes(each.folder)) for each in _selected(given, store)]
    if _is_listed(given):
        console = Console(sys.stdout)
        for each, size_bytes in sized:
            when = each.created or each.state
            console.line(f"{each.uid}  {format_bytes(size_bytes):>10}  {when}  {each.recipe_alias}")
            if each.tags:
                console.line(f"    {','.join(each.tags)}")
            console.line(f"    {each.folder}", style="dim")
        if not sized:
            console.line(f"no entry in {store.folder}")
    return [{**each.as_json(), "size_bytes": size_bytes} for each, size_bytes in sized]


def remove_entries(given: Mapping[str, Any], store: CacheStore) -> list[dict[str, Any]]:
    """Remove the entries asked for, after asking; ``-f`` and ``--quiet`` do not ask.

    Raises
    ------
    UsageError
        If there is nobody to ask, or neither tags nor a uid were given.
    UserError
        If there is no such entry, or a run uses it; others are removed nevertheless.
    """
    query = _query(given)
    if not (query.tags or query.name or query.variations or is_on(given, "all")):
        raise UsageError(
            "which entries?", advice="cm rm cache --tags=TAG,_VARIATION, or a uid, or --all"
        )
    found = _selected(given, store)
    if not found:
        raise UserError(f"the cache has no entry for {query.text() or 'this'}")
    console = Console(sys.stderr if wants_json(given) else sys.stdout)
    removed, used = [], []
    for each in [each for each in found if _is_agreed(given, each, console)]:
        try:
            _remove(each, store)
        except _InUseError as error:
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


class _InUseError(Exception):
    """Somebody else holds an entry; the text says what for."""


def _remove(each: Found, store: CacheStore) -> None:
    def is_made() -> None:
        raise _InUseError("a run is making it")

    def is_used() -> None:
        raise _InUseError("a run uses it")

    with contextlib.closing(EntryUses(store.locks)) as uses, store.lock(each.uid, is_made):
        with store.faults_explained():
            uses.claim(each.uid, is_used)
        store.remove(each.uid)


def _is_listed(given: Mapping[str, Any]) -> bool:
    return given.get("out") == "con" and not wants_json(given)


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


def _selected(given: Mapping[str, Any], store: CacheStore) -> list[Found]:
    query = _query(given)
    wanted = {*query.tags, *(f"_{name}" for name in query.variations)}
    unwanted = {*query.without_tags, *(f"_{name}" for name in query.without_variations)}
    return [
        each
        for each in _all(store)
        if wanted <= set(each.tags)
        and not unwanted & set(each.tags)
        and (not query.name or query.name in (each.uid, each.recipe_alias, each.recipe_uid))
    ]


def _all(store: CacheStore) -> Iterator[Found]:
    for entry in store.entries():
        yield Found(
            entry.uid,
            entry.folder,
            entry.recipe_alias,
            entry.recipe_uid,
            entry.tags,
            entry.created,
        )
    for leftover in store.leftovers():
        yield Found(leftover.uid, leftover.folder, state=leftover.state)


def _is_agreed(given: Mapping[str, Any], entry: Found, console: Console) -> bool:
    if is_on(given, "f", "force", "quiet", "q"):
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", advice="add -f to remove without asking")
    console.line(f"{entry.uid}  {','.join(entry.tags) or entry.state}")
    sys.stdout.write("remove this entry? (y/N) ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
