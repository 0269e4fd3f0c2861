"""The chunks of a PNG file. Source: the PNG specification (ISO/IEC 15948), sections 5 and 11."""

from __future__ import annotations

import struct
from typing import NamedTuple

from isal.isal_zlib import crc32

from cm4storage.formats.damage import Damage

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_HEADER = struct.Struct(">2I5B")
_CRC = struct.Struct(">I")
_GRAY, _COLOURED, _PALETTE, _GRAY_ALPHA, _COLOURED_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GRAY: 1, _COLOURED: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _COLOURED_ALPHA: 4}


class PngHeader(NamedTuple):
    """What the chunks before the image say.

    Attributes
    ----------
    pixel_bytes : int
        The bytes of a decoded pixel.
    is_plain : bool
        Whether the pixels are channels of eight bits, without palette or a transparent colour.
    """

    rows: int
    columns: int
    pixel_bytes: int
    is_plain: bool


def verified_header(view: memoryview) -> PngHeader:
    """Verify the checksums of all chunks, and return what the header says.

    Raises
    ------
    Damage
        If the file is no PNG, or a chunk is damaged or missing.
    """
    if bytes(view[: len(_SIGNATURE)]) != _SIGNATURE:
        raise Damage("no PNG image")
    kind, body = _chunk(view, len(_SIGNATURE))
    columns, rows, depth, colours = _header(kind, body)
    is_plain = depth == 8 and colours != _PALETTE
    at = len(_SIGNATURE) + _CHUNK.size + _HEADER.size + _CRC.size
    while kind != b"IEND":
        kind, body = _chunk(view, at)
        is_plain = is_plain and kind != b"tRNS"
        at += _CHUNK.size + len(body) + _CRC.size
    pixel_bytes = _CHANNELS[colours] * (2 if depth == 16 and colours == _GRAY else 1)
    return PngHeader(rows, columns, pixel_bytes, is_plain)


def _chunk(view: memoryview, at: int) -> tuple[bytes, memoryview]:
    """Return kind and body of the chunk at `at`, its checksum verified."""
    start = at + _CHUNK.size
    if start > len(view):
        raise Damage("the file is cut off between two chunks", at)
    length, kind = _CHUNK.unpack_from(view, at)
    end = start + length
    if end + _CRC.size > len(view):
        raise Damage("a chunk is cut off", at)
    (stored,) = _CRC.unpack_from(view, end)
    if stored != crc32(view[at + 4 : end]):
        raise Damage("the checksum of a chunk is wrong", at)
    return kind, view[start:end]


def _header(kind: bytes, body: memoryview) -> tuple[int, int, int, int]:
    if kind != b"IHDR" or len(body) != _HEADER.size:
        raise Damage("the image has no header", len(_SIGNATURE))
    columns, rows, depth, colours, *_ = _HEADER.unpack(body)
    if not columns or not rows or colours not in _CHANNELS:
        raise Damage("the image's header is not that of an image", len(_SIGNATURE))
    return columns, rows, depth, colours
