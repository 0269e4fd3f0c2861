"""``cm prune cache``: remove what is old or left over, but nothing in use and no data unasked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.records import dataclass
from cm4storage.core.units import format_bytes, format_count
from cm4storage.scripting.cache_removal import InUseError, remove
from cm4storage.scripting.cache_selection import (
    Coverage,
    Found,
    everything,
    folder_size_bytes,
    is_narrowed,
    query_of,
    selected,
)
from cm4storage.scripting.console import Console
from cm4storage.scripting.durations import format_age, parse_duration_s
from cm4storage.scripting.request import is_on, refuse_unknown_options, shows_lines
from cm4storage.scripting.uses import EntryUses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.cache import CacheStore

_OPTIONS = ("older_than", "tags", "unused", "all", "dry_run", "fake_run")


@dataclass(frozen=True)
class _Choice:
    """What happens to one candidate: it goes if `kept_because` is ""."""

    found: Found
    size_bytes: int
    kept_because: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = {**self.found.as_json(), "size_bytes": self.size_bytes}
        return {**plain, "reason": self.kept_because} if self.kept_because else plain


def prune_entries(given: Mapping[str, Any], store: CacheStore) -> dict[str, Any]:
    """Remove leftovers, and the entries that fit all criteria given; say what it freed.

    Without criteria only leftovers of broken-off runs go.

    Returns
    -------
    dict
        ``removed``, ``kept`` (with reasons), ``freed_bytes`` and ``is_dry``.

    Raises
    ------
    UsageError
        If an option is unknown, or no duration.
    """
    refuse_unknown_options(given, _OPTIONS, "cm prune cache")
    is_dry = is_on(given, "dry_run", "fake_run")
    choices = [_chosen(given, each, store) for each in _candidates(given, store)]
    if not is_dry:
        choices = [_carried_out(choice, store) for choice in choices]
    removed = [choice for choice in choices if not choice.kept_because]
    if shows_lines(given):
        _say(choices, store, is_dry=is_dry)
    return {
        "removed": [choice.as_json() for choice in removed],
        "kept": [choice.as_json() for choice in choices if choice.kept_because],
        "freed_bytes": sum(choice.size_bytes for choice in removed),
        "is_dry": is_dry,
    }


def _candidates(given: Mapping[str, Any], store: CacheStore) -> list[Found]:
    query, older_than = query_of(given), given.get("older_than")
    least_s = 0.0 if older_than is None else parse_duration_s(str(older_than), "older_than")
    is_unused, takes_all = is_on(given, "unused"), is_on(given, "all")
    has_criteria = is_narrowed(query) or older_than is not None or is_unused or takes_all
    found = [
        each
        for each in selected(query, store)
        if each.age_s >= least_s and (has_criteria or not each.is_complete)
    ]
    if is_unused:
        coverage = Coverage(everything(store))
        found = [each for each in found if not coverage.above(each)]
    return found


def _chosen(given: Mapping[str, Any], each: Found, store: CacheStore) -> _Choice:
    query, size_bytes = query_of(given), folder_size_bytes(each.folder)
    if each.keeps_data and not (query.name or is_on(given, "all")):
        return _Choice(each, size_bytes, "it holds data: name its uid, or say --all")
    users = EntryUses(store.locks).users(each.uid)
    if users:
        return _Choice(each, size_bytes, f"process {', '.join(map(str, users))} uses it")
    return _Choice(each, size_bytes)


def _carried_out(choice: _Choice, store: CacheStore) -> _Choice:
    if choice.kept_because:
        return choice
    try:
        remove(choice.found, store)
    except InUseError as error:
        return _Choice(choice.found, choice.size_bytes, str(error))
    return choice


def _say(choices: list[_Choice], store: CacheStore, *, is_dry: bool) -> None:
    console = Console(sys.stdout)
    for choice in choices:
        each = choice.found
        decision = f"kept: {choice.kept_because}" if choice.kept_because else "removed"
        if is_dry and not choice.kept_because:
            decision = "would be removed"
        what = each.recipe_alias or each.state
        size, age = format_bytes(choice.size_bytes), format_age(each.age_s)
        console.line(f"{each.uid}  {size:>10}  {age}  {what}  {decision}")
    gone = [choice for choice in choices if not choice.kept_because]
    freed = format_bytes(sum(choice.size_bytes for choice in gone))
    folders = format_count(len(gone), "folder")
    console.line(f"{'would free' if is_dry else 'freed'} {freed} in {folders} of {store.folder}")
