"""Removing entries of the cache: never one that a run makes or uses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.scripting.uses import EntryUses

if TYPE_CHECKING:
    from cm4storage.scripting.cache import CacheStore
    from cm4storage.scripting.cache_selection import Found


class InUseError(Exception):
    """Somebody else holds an entry; the text says what for."""


def remove(each: Found, store: CacheStore) -> None:
    """Remove an entry, or what is left of one.

    Raises
    ------
    InUseError
        If a run makes it or uses it.
    """

    def is_made() -> None:
        raise InUseError("a run is making it")

    def is_used() -> None:
        raise InUseError("a run uses it")

    with contextlib.closing(EntryUses(store.locks)) as uses, store.lock(each.uid, is_made):
        with store.faults_explained():
            uses.claim(each.uid, is_used)
        store.remove(each.uid)
