"""The bytes around the samples of an NPZ file, as we and numpy write them.

numpy writes through Python's ``zipfile`` to a file in which it can go back: sizes and checksum
stand in the local header, as zip64, and there is no data descriptor. Source: ``numpy.savez``, and
``zipfile.ZipFile.open`` with ``force_zip64``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from cm4storage.formats.archive import CENTRAL, END, EPOCH_DATE, LOCAL, ArchiveWriter
from cm4storage.formats.arrays import records_bytes, records_header
from cm4storage.formats.direct import Layout, one_sample
from cm4storage.formats.npy_header import encode_header

if TYPE_CHECKING:
    from cm4storage.formats.format import FileShape

OURS, NUMPY = "cm4storage", "numpy"

# Stands for the checksum of the samples until that is known. Where these bytes occur by chance, no
# file is found to be intact, and all are decoded in the ordinary way.
_UNKNOWN_CRC = 0xA7C35D91
_MARKER = struct.pack("<I", _UNKNOWN_CRC)
_CHECKSUMS_BEHIND = 2  # in the data descriptor and in the directory
_ZIP64_VERSION, _ON_UNIX = 45, 3 << 8
_OWN_MODE = 0o600 << 16
_LARGEST_32_BYTES = 2**31 - 1


def writer_of(view: memoryview) -> str:
    """Tell who seems to have written an archive, by its first header."""
    return NUMPY if bytes(view[4:8]) == struct.pack("<2H", _ZIP64_VERSION, 0) else OURS


@dataclass(frozen=True)
class Frame:
    """What is known of a file beforehand.

    Attributes
    ----------
    shape : FileShape
    writer : str
    layout : Layout
    header_crc : int
        CRC-32 of the header of array ``x``.
    sample_bytes : int
    parts : tuple of bytes
        The bytes around the sample; between them stands the checksum of ``x``.
    """

    shape: FileShape
    writer: str
    layout: Layout
    header_crc: int
    sample_bytes: int
    parts: tuple[bytes, ...]

    def is_of(self, shape: FileShape, writer: str) -> bool:
        """Tell whether it is the frame of such a file; nearly all have the very same shape."""
        return (self.shape is shape or self.shape == shape) and self.writer == writer

    def is_intact(self, crc: int) -> bool:
        """Tell whether what was read around a sample belongs to one of this checksum."""
        return crc.to_bytes(4, "little").join(self.parts) == self.layout.outside


@dataclass(frozen=True)
class Envelope:
    """What stands around the samples of a file that we write: the same for all files of a shape.

    Attributes
    ----------
    shape : FileShape
    head : bytes
        It ends with the header of array ``x``.
    header_crc : int
        CRC-32 of that header.
    parts : tuple of bytes
        The bytes behind the samples; between them stands the checksum of ``x``.
    """

    shape: FileShape
    head: bytes
    header_crc: int
    parts: tuple[bytes, ...]

    def tail(self, crc: int) -> bytes:
        """Return the bytes behind samples with which array ``x`` has this checksum."""
        return crc.to_bytes(4, "little").join(self.parts)


def envelope_of(shape: FileShape) -> Envelope | None:
    """Return the envelope of a shape; None where a number in it looks like the checksum."""
    header = records_header(shape)
    head, tail = _around_ours(len(header) + records_bytes(shape), labels_of(shape.samples))
    parts = tuple(tail.split(_MARKER))
    if len(parts) != _CHECKSUMS_BEHIND + 1:
        return None
    return Envelope(shape, head + header, crc32(header), parts)


def labels_of(samples: int) -> bytes:
    """Return array ``y`` of a file with so many samples."""
    return encode_header("<i8", (samples,)) + bytes(8 * samples)


def frame_of(shape: FileShape, writer: str) -> Frame | None:
    """Return the frame of a file with one sample; None where it is not known."""
    header = records_header(shape)
    labels = labels_of(1)
    size_bytes = len(header) + records_bytes(shape)
    if writer == NUMPY and size_bytes + 2 * len(labels) > _LARGEST_32_BYTES:
        return None
    head, tail = _AROUND[writer](size_bytes, labels)
    head += header
    return Frame(
        shape,
        writer,
        one_sample(len(head), records_bytes(shape), len(tail)),
        crc32(header),
        records_bytes(shape),
        tuple((head + tail).split(_MARKER)),
    )


def _around_ours(size_bytes: int, labels: bytes) -> tuple[bytes, bytes]:
    archive = ArchiveWriter()
    head, footer = archive.around("x.npy", size_bytes, _UNKNOWN_CRC)
    before, after = archive.around("y.npy", len(labels), crc32(labels))
    return head, footer + before + labels + after + bytes(archive.directory())


def _around_numpys(size_bytes: int, labels: bytes) -> tuple[bytes, bytes]:
    members = [(b"x.npy", size_bytes, _UNKNOWN_CRC), (b"y.npy", len(labels), crc32(labels))]
    (head, second), at, entries = map(_local, members), 0, b""
    for name, member_bytes, crc in members:
        fields = (0, 0, 0, EPOCH_DATE, crc, member_bytes, member_bytes, len(name), 0, 0, 0, 0)
        entries += CENTRAL.pack(
            b"PK\x01\x02", _ON_UNIX | _ZIP64_VERSION, _ZIP64_VERSION, *fields, _OWN_MODE, at
        )
        entries += name
        at += len(head) + member_bytes
    count = len(members)
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, len(entries), at, 0)
    return head, second + labels + entries + end


def _local(member: tuple[bytes, int, int]) -> bytes:
    name, size_bytes, crc = member
    wide = struct.pack("<2H2Q", 1, 16, size_bytes, size_bytes)
    fields = (_ZIP64_VERSION, 0, 0, 0, EPOCH_DATE, crc, 2**32 - 1, 2**32 - 1, len(name), len(wide))
    return LOCAL.pack(b"PK\x03\x04", *fields) + name + wide


_AROUND = {OURS: _around_ours, NUMPY: _around_numpys}
