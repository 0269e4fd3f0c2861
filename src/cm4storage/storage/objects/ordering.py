"""Listings in the order of keys, from servers that walk a tree.

S3 lists in the order of keys. Servers that keep objects in folders list a folder where its own
name stands among its neighbours: ``a/x`` before ``a-b``, although ``-`` sorts before ``/``.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.storage.store import ObjectStat

_LOWEST_IN_A_NAME = " "


def in_key_order(found: Iterable[ObjectStat], folder: str) -> Iterator[ObjectStat]:
    """Yield `found` in the order of keys, whether it comes in that order or walks a tree.

    Parameters
    ----------
    found : iterable of ObjectStat
        Objects whose keys all start with `folder`.
    folder : str
        Empty, or ends with ``/``. At most the objects of one folder directly below it are held
        back, never those directly in it.
    """
    held: list[tuple[str, ObjectStat]] = []
    for item in found:
        heapq.heappush(held, (item.key, item))
        slash = item.key.find("/", len(folder))
        # Inside a/, a neighbour such as a-b may still come; nothing before "a " can.
        bound = item.key if slash < 0 else item.key[:slash] + _LOWEST_IN_A_NAME
        while held and held[0][0] <= bound:
            yield heapq.heappop(held)[1]
    while held:
        yield heapq.heappop(held)[1]
