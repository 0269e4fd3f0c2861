"""What ``torch.save`` writes and ``torch.load`` reads: a zip archive, without PyTorch.

Entries are stored, not compressed: ``data.pkl`` with a pickled dictionary whose tensors refer to
storages, and ``data/N`` with the bytes of each. Source: torch/serialization.py and
caffe2/serialize/inline_container.cc of PyTorch 2.

The CRC-32 of a tensor is known only after its data have been written, so it follows them, in a
data descriptor (APPNOTE 4.3.9 of the zip format), as in the archives of PyTorch itself.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.checkpoint.containers.torch_pickle import pickled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.checkpoint.tensors import Tensor

_ROOT: Final = "archive"
# PyTorch maps storages from the file, and pads them so that vector instructions like them.
_ALIGNMENT_BYTES: Final = 64
_UINT32_MAX: Final = 0xFFFFFFFF
_UINT16_MAX: Final = 0xFFFF
_VERSION: Final = 45  # of the zip format: with 64-bit sizes
_DATE: Final = 0x21  # 1980-01-01: the same bytes at any time
_HAS_DESCRIPTOR: Final = 8

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_END_64: Final = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<IIQI")
_END: Final = struct.Struct("<IHHHHIIH")
_EXTRA_64: Final = struct.Struct("<HHQQ")
_CENTRAL_EXTRA_64: Final = struct.Struct("<HHQQQ")
_DESCRIPTOR_64: Final = struct.Struct("<IIQQ")
_PADDING: Final = struct.Struct("<HH")
_PADDING_ID: Final = 0x4246


@dataclass(frozen=True)
class _Entry:
    name: bytes
    size_bytes: int
    offset_bytes: int
    crc32: int = 0


class TorchArchive:
    """The layout of one archive; see `Container`.

    The name of a tensor is the path to it in nested dictionaries, with ``/`` between their keys.
    """

    wants_crc32 = True

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._headers: list[bytes] = []
        self._small: list[_Entry] = []
        self._large: list[_Entry] = []
        small = bytearray()
        for name, content in (
            ("data.pkl", pickled(tensors)),
            ("byteorder", b"little"),
            ("version", b"3\n"),
        ):
            entry = _entry(name, len(content), len(small), zlib.crc32(content))
            small += _local_header(entry) + content + _descriptor(entry, entry.crc32)
            self._small.append(entry)
        self._small_bytes = bytes(small)
        position = len(small)
        for number, tensor in enumerate(tensors):
            entry = _entry(f"data/{number}", tensor.size_bytes, position)
            self._large.append(entry)
            self._headers.append(_local_header(entry))
            position += len(self._headers[-1]) + tensor.size_bytes + _DESCRIPTOR_64.size
        self._end = position
        self.tail_bytes = len(self.tail([0] * len(tensors)))

    def lead(self, number: int, crc32_before: int = 0) -> bytes:
        """Return the end of the entry before and the header of a tensor's entry.

        Before the first, it is the small entries that end.
        """
        return self._end_of(number - 1, crc32_before) + self._headers[number]

    def tail(self, crc32_of: Sequence[int]) -> bytes:
        """Return the end of the last entry and the directory of the archive."""
        last = self._end_of(len(self._large) - 1, crc32_of[-1] if crc32_of else 0)
        entries = [
            *self._small,
            *(
                _Entry(entry.name, entry.size_bytes, entry.offset_bytes, crc32)
                for entry, crc32 in zip(self._large, crc32_of, strict=True)
            ),
        ]
        directory = b"".join(map(_directory_entry, entries))
        return last + directory + _end(len(entries), len(directory), self._end)

    def _end_of(self, number: int, crc32: int) -> bytes:
        return self._small_bytes if number < 0 else _descriptor(self._large[number], crc32)


def _entry(name: str, size_bytes: int, offset_bytes: int, crc32: int = 0) -> _Entry:
    return _Entry(f"{_ROOT}/{name}".encode(), size_bytes, offset_bytes, crc32)


def _local_header(entry: _Entry) -> bytes:
    extra = _EXTRA_64.pack(1, 16, entry.size_bytes, entry.size_bytes)
    begin = entry.offset_bytes + _LOCAL.size + len(entry.name) + len(extra) + _PADDING.size
    padding = -begin % _ALIGNMENT_BYTES
    extra += _PADDING.pack(_PADDING_ID, padding) + b"Z" * padding
    fixed = _LOCAL.pack(
        *(0x04034B50, _VERSION, _HAS_DESCRIPTOR, 0, 0, _DATE, 0, _UINT32_MAX, _UINT32_MAX),
        *(len(entry.name), len(extra)),
    )
    return fixed + entry.name + extra


def _descriptor(entry: _Entry, crc32: int) -> bytes:
    return _DESCRIPTOR_64.pack(0x08074B50, crc32, entry.size_bytes, entry.size_bytes)


def _directory_entry(entry: _Entry) -> bytes:
    extra = _CENTRAL_EXTRA_64.pack(1, 24, entry.size_bytes, entry.size_bytes, entry.offset_bytes)
    fixed = _CENTRAL.pack(
        *(0x02014B50, _VERSION, _VERSION, _HAS_DESCRIPTOR, 0, 0, _DATE, entry.crc32),
        *(_UINT32_MAX, _UINT32_MAX, len(entry.name), len(extra), 0, 0, 0, 0, _UINT32_MAX),
    )
    return fixed + entry.name + extra


def _end(count: int, directory_bytes: int, offset_bytes: int) -> bytes:
    end_64 = _END_64.pack(
        *(0x06064B50, _END_64.size - 12, _VERSION, _VERSION, 0, 0, count, count),
        *(directory_bytes, offset_bytes),
    )
    locator = _LOCATOR_64.pack(0x07064B50, 0, offset_bytes + directory_bytes, 1)
    few = min(count, _UINT16_MAX)
    end = _END.pack(0x06054B50, 0, 0, few, few, _UINT32_MAX, _UINT32_MAX, 0)
    return end_64 + locator + end
