"""Which entries of the cache a command means, and what is known of each."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import canonical_json
from cm4storage.core.errors import UsageError
from cm4storage.core.records import dataclass
from cm4storage.scripting.durations import age_s
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from cm4storage.scripting.cache import CacheStore, Entry, Leftover

LEFTOVER_TAGS = ("tmp",)
"""The tag by which CM's users search for what broken-off runs left."""


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
    keeps_data: bool = False
    entry: Entry | None = None

    @property
    def age_s(self) -> float:
        """How long ago it was made, or touched last if it is a leftover."""
        return age_s(self.created)

    @property
    def is_complete(self) -> bool:
        """Whether a run can use it."""
        return self.state == "complete"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "uid": self.uid,
            "folder": str(self.folder),
            "recipe_alias": self.recipe_alias,
            "recipe_uid": self.recipe_uid,
            "tags": list(self.tags),
            "created": self.created if self.is_complete else "",
            "state": self.state,
            "keeps_data": self.keeps_data,
        }


def query_of(given: Mapping[str, Any]) -> Query:
    """Return the tags and the name in cmind's input dictionary."""
    tags = given.get("tags", "")
    if not isinstance(tags, (str, list)):
        raise UsageError("--tags needs a value")
    artifact = str(given.get("artifact") or "").strip()
    return Query.parse(tags, "" if artifact == "*" else artifact)


def is_narrowed(query: Query) -> bool:
    """Tell whether a query means some entries, not all."""
    return query != Query()


def selected(query: Query, store: CacheStore) -> list[Found]:
    """Return the entries and leftovers that a query means."""
    wanted = {*query.tags, *(f"_{name}" for name in query.variations)}
    unwanted = {*query.without_tags, *(f"_{name}" for name in query.without_variations)}
    return [
        each
        for each in everything(store)
        if wanted <= set(each.tags)
        and not unwanted & set(each.tags)
        and (not query.name or query.name in (each.uid, each.recipe_alias, each.recipe_uid))
    ]


def everything(store: CacheStore) -> Iterator[Found]:
    """Yield all entries, and all that this engine left that is none."""
    for entry in store.entries():
        yield _of_entry(entry)
    for leftover in store.leftovers():
        yield _of_leftover(leftover)


def _of_entry(entry: Entry) -> Found:
    return Found(
        entry.uid,
        entry.folder,
        entry.recipe_alias,
        entry.recipe_uid,
        entry.tags,
        entry.created,
        keeps_data=entry.keeps_data,
        entry=entry,
    )


def _of_leftover(leftover: Leftover) -> Found:
    try:
        touched_s = leftover.folder.stat().st_mtime
    except OSError:
        touched_s = 0.0
    touched = datetime.datetime.fromtimestamp(touched_s, datetime.timezone.utc)
    return Found(
        leftover.uid,
        leftover.folder,
        tags=LEFTOVER_TAGS,
        created=touched.isoformat(timespec="seconds"),
        state=leftover.state,
        keeps_data=leftover.keeps_data,
    )


class Coverage:
    """Which entries' keys cover which, directly or through recipes between them."""

    def __init__(self, known: Iterable[Found]) -> None:
        self._above: dict[tuple[str, str], dict[str, Entry]] = {}
        for each in known:
            if each.entry is not None:
                for mark in _marks_below(each.entry):
                    self._above.setdefault(mark, {})[each.uid] = each.entry

    def above(self, each: Found) -> list[str]:
        """Return the uids of the entries whose key covers this one."""
        if each.entry is None:
            return []
        own = each.entry
        direct = self._above.get((own.recipe_alias, own.key), {})
        alike = self._above.get(_mark(own.recipe_alias, _details(own)), {})
        covering = {
            **direct,
            **{uid: other for uid, other in alike.items() if _holds(other, own)},
        }
        return sorted(uid for uid in covering if uid != each.uid)


def _marks_below(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield what stands in a key for each recipe below: the key of a cached one, or its parts."""
    for alias, key in entry.parts.get("key", {}).get("deps", ()):
        yield alias, key
    for alias in _details(entry):
        yield _mark(alias, _details(entry))


def _mark(alias: str, details: Mapping[str, Any]) -> tuple[str, str]:
    return alias, canonical_json(details.get(alias, {}))


def _details(entry: Entry) -> Mapping[str, Any]:
    return dict(entry.parts.get("details", {}))


def _holds(above: Entry, below: Entry) -> bool:
    inside = _details(above)
    return all(inside.get(alias) == part for alias, part in _details(below).items())


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
