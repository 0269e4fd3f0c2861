"""The table at the end of a file of zstd frames, in zstd's seekable format.

Source: contrib/seekable_format/zstd_seekable_compression_format.md of zstd: a frame that decoders
skip, with the compressed and the original length of each frame before it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SKIPPABLE_MAGIC: Final = 0x184D2A5E
_SEEKABLE_MAGIC: Final = 0x8F92EAB1
_NO_CHECKSUMS: Final = 0


def seek_table(compressed_bytes: Sequence[int], original_bytes: Sequence[int]) -> bytes:
    """Return the table.

    Parameters
    ----------
    compressed_bytes, original_bytes : sequence of int
        The lengths of each frame.
    """
    entries = b"".join(
        struct.pack("<II", *pair) for pair in zip(compressed_bytes, original_bytes, strict=True)
    )
    footer = struct.pack("<IBI", len(compressed_bytes), _NO_CHECKSUMS, _SEEKABLE_MAGIC)
    return struct.pack("<II", _SKIPPABLE_MAGIC, len(entries) + len(footer)) + entries + footer
