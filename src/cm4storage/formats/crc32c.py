"""CRC-32C (Castagnoli) of memory."""

from __future__ import annotations

from typing import Final

import crc32c as _library

_WORTH_RELEASING_BYTES: Final = 2**18
"""From here on other threads may run meanwhile. To get the interpreter back takes as long as the
checksum of some 100 KB, and longer where several threads want it."""


def crc32c(data: bytes | bytearray | memoryview, before: int = 0) -> int:
    """Return the checksum of `data` behind bytes that have the checksum `before`."""
    releases = len(data) >= _WORTH_RELEASING_BYTES
    crc: int = _library.crc32c(data, before, gil_release_mode=int(releases))
    return crc
