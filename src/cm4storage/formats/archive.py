"""Zip archives, written in one pass and read from one buffer.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 (records) and 4.5.3 (zip64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isal.isal_zlib import compressobj, crc32, decompressobj

from cm4storage.core.units import GIB
from cm4storage.formats.damage import Damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_DESCRIPTOR = struct.Struct("<4sIII")
_DESCRIPTOR64 = struct.Struct("<4sIQQ")

_LIMIT32 = 0xFFFFFFFF
_SIZES_FOLLOW = 0x0008
_STORED, _DEFLATED = 0, 8
EPOCH_DATE = (1 << 5) | 1
"""1980-01-01, the oldest date that there is."""
# The second of the library's levels, which are much faster than those of zlib.
_LEVEL = 2
_LONGEST_COMMENT = 0xFFFF
# DEFLATE cannot make more than this of one byte.
_LARGEST_EXPANSION = 1032
_LARGEST_EXPANDED_BYTES = 4 * GIB


@dataclass(frozen=True)
class Member:
    """One entry of an archive's directory."""

    name: str
    method: int
    crc: int
    stored_bytes: int
    size_bytes: int
    offset: int


class ArchiveWriter:
    """Builds the parts of an archive. Sizes are given beforehand, checksums are computed."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._position = 0

    def member(
        self, name: str, size_bytes: int, parts: Iterable[memoryview]
    ) -> Iterator[memoryview]:
        """Yield the parts of one uncompressed member whose bytes are `parts`."""
        offset, crc = self._position, 0
        yield self._emit(_local_header(name, size_bytes, _STORED))
        for part in parts:
            crc = crc32(part, crc)
            yield self._emit(part)
        yield self._emit(_descriptor(crc, size_bytes, size_bytes, size_bytes))
        self._members.append(Member(name, _STORED, crc, size_bytes, size_bytes, offset))

    def compressed_member(
        self, name: str, size_bytes: int, parts: Iterable[memoryview]
    ) -> Iterator[memoryview]:
        """Yield the parts of one compressed member."""
        offset, crc, stored_bytes = self._position, 0, 0
        largest_bytes = compressed_bytes(size_bytes)
        yield self._emit(_local_header(name, largest_bytes, _DEFLATED))
        squeezer = compressobj(_LEVEL, _DEFLATED, -15)
        for part in parts:
            crc = crc32(part, crc)
            packed = squeezer.compress(part)
            stored_bytes += len(packed)
            yield self._emit(packed)
        packed = squeezer.flush()
        stored_bytes += len(packed)
        yield self._emit(packed)
        yield self._emit(_descriptor(crc, stored_bytes, size_bytes, largest_bytes))
        self._members.append(Member(name, _DEFLATED, crc, stored_bytes, size_bytes, offset))

    def around(self, name: str, size_bytes: int, crc: int) -> tuple[bytes, bytes]:
        """Count a member that is written elsewhere; return what stands before and after it."""
        offset, header = self._position, _local_header(name, size_bytes, _STORED)
        footer = _descriptor(crc, size_bytes, size_bytes, size_bytes)
        self._position += len(header) + size_bytes + len(footer)
        self._members.append(Member(name, _STORED, crc, size_bytes, size_bytes, offset))
        return header, footer

    def directory(self) -> memoryview:
        """Return the directory that ends the archive."""
        entries = b"".join(_central_entry(member) for member in self._members)
        return memoryview(entries + _end(len(self._members), len(entries), self._position))

    def _emit(self, part: bytes | memoryview) -> memoryview:
        self._position += len(part)
        return memoryview(part)


def archive_bytes(members: Iterable[tuple[str, int]]) -> int:
    """Return the size of an archive with uncompressed members of these names and sizes."""
    writer, total = ArchiveWriter(), 0
    for name, size_bytes in members:
        total += size_bytes + sum(map(len, writer.around(name, size_bytes, 0)))
    return total + len(writer.directory())


def compressed_bytes(size_bytes: int) -> int:
    """Return what `size_bytes` may take at most when they are compressed.

    Source: RFC 1951: a block that is not compressed has 5 bytes more, and 65,535 at most; the
    library ends blocks earlier, and a block of codes ends with some bits.
    """
    return size_bytes + size_bytes // 1024 + 256


def _descriptor(crc: int, stored_bytes: int, size_bytes: int, largest_bytes: int) -> bytes:
    layout = _DESCRIPTOR64 if largest_bytes >= _LIMIT32 else _DESCRIPTOR
    return layout.pack(b"PK\x07\x08", crc, stored_bytes, size_bytes)


def _local_header(name: str, largest_bytes: int, method: int) -> bytes:
    encoded = name.encode()
    extra, version, size = b"", 20, 0
    if largest_bytes >= _LIMIT32:
        extra, version, size = struct.pack("<2H2Q", 1, 16, 0, 0), 45, _LIMIT32
    fields = (version, _SIZES_FOLLOW, method, 0, EPOCH_DATE, 0, size, size)
    return LOCAL.pack(b"PK\x03\x04", *fields, len(encoded), len(extra)) + encoded + extra


def _central_entry(member: Member) -> bytes:
    encoded = member.name.encode()
    wide = [v for v in (member.size_bytes, member.stored_bytes, member.offset) if v >= _LIMIT32]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = 45 if wide else 20
    sizes = (min(member.stored_bytes, _LIMIT32), min(member.size_bytes, _LIMIT32))
    return (
        CENTRAL.pack(
            b"PK\x01\x02", version, version, _SIZES_FOLLOW, member.method, 0, EPOCH_DATE,
            member.crc, *sizes, len(encoded), len(extra), 0, 0, 0, 0, min(member.offset, _LIMIT32),
        )
        + encoded
        + extra
    )  # fmt: skip


def _end(count: int, size_bytes: int, offset: int) -> bytes:
    wide = b""
    if offset >= _LIMIT32:
        wide = _END64.pack(
            b"PK\x06\x06", _END64.size - 12, 45, 45, 0, 0, count, count, size_bytes, offset
        ) + _LOCATOR64.pack(b"PK\x06\x07", 0, offset + size_bytes, 1)
    return wide + END.pack(b"PK\x05\x06", 0, 0, count, count, size_bytes, min(offset, _LIMIT32), 0)


def read_directory(view: memoryview) -> dict[str, Member]:
    """Return the members of the archive in `view`, by name.

    Raises
    ------
    Damage
        Saying what is wrong.
    """
    try:
        count, offset = _find_directory(view)
        members: dict[str, Member] = {}
        for _ in range(count):
            member, offset = _read_entry(view, offset)
            members[member.name] = member
    except (struct.error, UnicodeDecodeError) as error:
        raise Damage("the archive's directory is damaged") from error
    return members


def _unpack(layout: struct.Struct, view: memoryview, at: int) -> tuple[Any, ...]:
    """Unpack a record at a place that the file itself names, and so may lie about."""
    if not 0 <= at <= len(view) - layout.size:
        raise Damage("the archive's directory points outside the file", len(view))
    return layout.unpack_from(view, at)


def _find_directory(view: memoryview) -> tuple[int, int]:
    tail_start = max(0, len(view) - END.size - _LONGEST_COMMENT)
    at = bytes(view[tail_start:]).rfind(b"PK\x05\x06")
    if at < 0:
        raise Damage("no zip archive, or its end is missing", len(view))
    at += tail_start
    _, _, _, _, count, _, offset, _ = _unpack(END, view, at)
    locator = at - _LOCATOR64.size
    if (
        _LIMIT32 in (offset, count)
        and locator >= 0
        and bytes(view[locator : locator + 4]) == b"PK\x06\x07"
    ):
        _, _, at64, _ = _unpack(_LOCATOR64, view, locator)
        *_, count, _, offset = _unpack(_END64, view, at64)
    return int(count), int(offset)


def _read_entry(view: memoryview, at: int) -> tuple[Member, int]:
    fields = _unpack(CENTRAL, view, at)
    if fields[0] != b"PK\x01\x02":
        raise Damage("the archive's directory is damaged", at)
    method, crc, stored, size = fields[4], fields[7], fields[8], fields[9]
    name_bytes, extra_bytes, comment_bytes, offset = fields[10], fields[11], fields[12], fields[16]
    start = at + CENTRAL.size
    name = bytes(view[start : start + name_bytes]).decode()
    extra = view[start + name_bytes : start + name_bytes + extra_bytes]
    size, stored, offset = _widened(extra, (size, stored, offset))
    end = start + name_bytes + extra_bytes + comment_bytes
    return Member(name, method, crc, stored, size, offset), end


def _widened(extra: memoryview, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace values that stand at the 32-bit limit by those of the zip64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            wide = iter(struct.unpack_from(f"<{size // 8}Q", extra, at + 4))
            size_b, stored, offset = (
                next(wide, value) if value == _LIMIT32 else value for value in values
            )
            return size_b, stored, offset
        at += 4 + size
    return values


def read_member(view: memoryview, member: Member) -> memoryview:
    """Return the bytes of `member`, in place where it is stored, its checksum verified.

    Raises
    ------
    Damage
        Saying what is wrong.
    """
    fields = _unpack(LOCAL, view, member.offset)
    start = member.offset + LOCAL.size + fields[9] + fields[10]
    data = view[start : start + member.stored_bytes]
    if fields[0] != b"PK\x03\x04" or len(data) != member.stored_bytes:
        raise Damage(f"member {member.name} is cut off", member.offset)
    data = _expanded(data, member)
    if len(data) != member.size_bytes or crc32(data) != member.crc:
        raise Damage(f"the checksum of member {member.name} is wrong", start)
    return data


def _expanded(data: memoryview, member: Member) -> memoryview:
    if member.method == _STORED:
        return data
    if member.method != _DEFLATED:
        raise Damage(f"compression method {member.method} is not supported", member.offset)
    limit_bytes = min(_LARGEST_EXPANSION * len(data), _LARGEST_EXPANDED_BYTES)
    if member.size_bytes > limit_bytes:
        raise Damage(
            f"member {member.name} is said to have {member.size_bytes} bytes, but {len(data)} "
            f"compressed ones give {limit_bytes} at most",
            member.offset,
        )
    try:
        # One byte more than it should be shows that the size is wrong, and no more is needed.
        return memoryview(decompressobj(wbits=-15).decompress(data, member.size_bytes + 1))
    except Exception as error:  # isal's error class has no public name
        raise Damage(f"member {member.name} cannot be decompressed", member.offset) from error
