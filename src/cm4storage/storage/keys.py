"""The keys that name objects, the same for every backend.

A key is a relative path with ``/`` between its parts. Parts that are empty, ``.`` or ``..`` would
mean different objects to different backends, and backslashes and control characters do not survive
every client and server, so they are refused everywhere.
"""

from __future__ import annotations

import re
from typing import Final

from cm4storage.storage.store import InvalidKey

TEMPORARY_PREFIX: Final = ".cm4storage-"
TEMPORARY_SUFFIX: Final = ".tmp"

_EMPTY_OR_DOTS = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)")
_ODD_CHARACTER = re.compile("[\x00-\x1f\x7f\\\\\ud800-\udfff]")
_TEMPORARY = re.compile(r"(?:\A|/)\.cm4storage-[0-9a-f]{16}\.tmp(?:/|\Z)")

_INVALID = re.compile(
    "|".join(rule.pattern for rule in (_EMPTY_OR_DOTS, _ODD_CHARACTER, _TEMPORARY))
)

# A key is checked for each read, and nearly all look like this: found valid in a fifth of the time.
_is_plain = re.compile(r"[A-Za-z0-9_][\w.=-]*(?:/[A-Za-z0-9_][\w.=-]*)*", re.ASCII).fullmatch


def check_key(key: str, root_uri: str) -> None:
    """Refuse a `key` that cannot name an object below `root_uri`.

    Raises
    ------
    InvalidKey
        With the rule that the key breaks.
    """
    if is_valid(key):
        return
    if _EMPTY_OR_DOTS.search(key):
        raise _invalid(key, root_uri, "a part of it is empty, '.' or '..'")
    if _ODD_CHARACTER.search(key):
        raise _invalid(key, root_uri, "it has a backslash, a control character or a surrogate")
    raise _invalid(key, root_uri, "names of this form are kept for unfinished files")


def is_temporary(name: str) -> bool:
    """Tell whether a file of this name is one that a write has not finished."""
    return name.startswith(TEMPORARY_PREFIX) and _TEMPORARY.search(name) is not None


def is_valid(key: str) -> bool:
    """Tell whether `key` can name an object."""
    return _is_plain(key) is not None or _INVALID.search(key) is None


def _invalid(key: str, root_uri: str, rule: str) -> InvalidKey:
    return InvalidKey(
        f"the key {key!r} cannot name an object: {rule}",
        where=root_uri,
        advice="use a relative name such as train/img_0001.npz",
    )
