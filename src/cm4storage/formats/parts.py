"""Parts of a file that is being made, in reused memory.

Fresh memory costs more to touch for the first time than a part costs to fill, so the buffers of
finished files wait here for the next ones; there are never more than files are made at a time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.formats.format import Content

PART_BYTES = MIB // 2
"""Filled, checked and written while it is in the processor's cache; a multiple of all elements."""

_MOST_KEPT = 64
_waiting: deque[memoryview] = deque(maxlen=_MOST_KEPT)


def filled_parts(size_bytes: int, content: Content) -> Iterator[memoryview]:
    """Yield `size_bytes` of `content`; a part is valid until the next one is asked for."""
    try:
        buffer = _waiting.pop()
    except IndexError:
        buffer = memoryview(bytearray(PART_BYTES))
    try:
        left = size_bytes
        while left:
            part = buffer[: min(left, PART_BYTES)]
            content.fill(part)
            left -= len(part)
            yield part
    finally:
        _waiting.append(buffer)
