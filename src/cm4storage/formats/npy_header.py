"""The header of ``.npy`` arrays. Source: ``numpy/lib/format.py``, format versions 1.0 to 3.0."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"\x93NUMPY"
_ALIGNMENT: Final = 64
# numpy leaves room for the first side of an array that grows.
_LONGEST_SIDE_DIGITS: Final = 21
# numpy refuses longer ones too.
_LONGEST_HEADER_BYTES: Final = 10_000

_ENTRY = re.compile(
    r"""\s*['"](?P<name>\w{1,20})['"]\s*:\s*"""
    r"""(?:['"](?P<text>[^'"\\]{0,20})['"]|(?P<flag>True|False)|\((?P<sides>[0-9L,\s]*)\))"""
    r"""\s*(?:,|\Z)"""
)
_SIDE = re.compile(r"[0-9]{1,19}")
_PLAIN_TYPE = re.compile(r"[<>|=](?P<kind>[biufc])(?P<size>[0-9]{1,2})")
_ITEM_SIZES: Final = {
    "b": {1},
    "i": {1, 2, 4, 8},
    "u": {1, 2, 4, 8},
    "f": {2, 4, 8},
    "c": {8, 16},
}
_KINDS: Final = {"bool": "b", "int": "i", "uint": "u", "float": "f"}


@dataclass(frozen=True)
class NpyHeader:
    """What an array's header says.

    Attributes
    ----------
    dtype : str
        The array-protocol type string, such as ``|u1``.
    fortran_order : bool
    shape : tuple of int
    data_offset : int
        Where the array's bytes start, from the start of the header.
    item_bytes : int
        The size of one element.
    """

    dtype: str
    fortran_order: bool
    shape: tuple[int, ...]
    data_offset: int
    item_bytes: int

    @property
    def data_bytes(self) -> int:
        """The size of the array's bytes."""
        return math.prod(self.shape) * self.item_bytes


def type_code(element_type: str) -> str:
    """Return the array-protocol type string of a numpy type, such as ``<f4`` for float32."""
    kind = element_type.rstrip("0123456789")
    size = int(element_type[len(kind) :] or 8) // 8
    return f"{'|' if size == 1 else '<'}{_KINDS[kind]}{size}"


def encode_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a C-ordered array, padded as numpy pads it."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    if shape:
        text += " " * max(0, _LONGEST_SIDE_DIGITS - len(repr(shape[0])))
    unpadded = len(_MAGIC) + 4 + len(text) + 1
    padding = _ALIGNMENT - unpadded % _ALIGNMENT  # never none: so does numpy
    body = text.encode("latin-1") + b" " * padding + b"\n"
    return _MAGIC + b"\x01\x00" + struct.pack("<H", len(body)) + body


def decode_header(view: memoryview) -> NpyHeader:
    """Read the header at the start of `view`.

    Raises
    ------
    ValueError
        Saying what is wrong: no array, an array of Python objects, texts or records, an unknown
        version.
    """
    if bytes(view[:6]) != _MAGIC or len(view) < 12:
        raise ValueError("no .npy array")
    major = view[6]
    if major not in (1, 2, 3):
        raise ValueError(f"version {major} of .npy is not known")
    size_format, start = ("<H", 10) if major == 1 else ("<I", 12)
    (size,) = struct.unpack_from(size_format, view, 8)
    if size > _LONGEST_HEADER_BYTES:
        raise ValueError(f"the array's header is longer than {_LONGEST_HEADER_BYTES:,} bytes")
    if start + size > len(view):
        raise ValueError("the array's header is cut off")
    return _from_text(bytes(view[start : start + size]).decode("latin-1"), start + size)


def _from_text(text: str, data_offset: int) -> NpyHeader:
    """Read the header's dictionary without evaluating it: what is written there is not trusted."""
    fields = _entries(text.strip())
    if set(fields) != {"descr", "fortran_order", "shape"}:
        raise ValueError("the array's header is not readable, or says records or objects")
    dtype, flag = fields["descr"]["text"], fields["fortran_order"]["flag"]
    sides = fields["shape"]["sides"]
    if dtype is None or flag is None or sides is None:
        raise ValueError("the array's header is not readable")
    return NpyHeader(dtype, flag == "True", _shape(sides), data_offset, _item_bytes(dtype))


def _entries(text: str) -> dict[str, re.Match[str]]:
    """Return the entries of ``{'name': value, …}`` by name, or none."""
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    entries: dict[str, re.Match[str]] = {}
    at, end = 1, len(text) - 1
    while at < end:
        entry = _ENTRY.match(text, at, end)
        if entry is None:
            return {} if text[at:end].strip() else entries
        entries[entry["name"]] = entry
        at = entry.end()
    return entries


def _shape(sides: str) -> tuple[int, ...]:
    parts = [part.strip().removesuffix("L") for part in sides.split(",")]
    if parts[-1] == "":
        parts.pop()  # what follows the last comma
    if not all(_SIDE.fullmatch(part) for part in parts):
        raise ValueError(f"the shape ({sides[:60]}) is not readable")
    return tuple(map(int, parts))


def _item_bytes(dtype: str) -> int:
    found = _PLAIN_TYPE.fullmatch(dtype)
    item_bytes = int(found["size"]) if found else 0
    if found is None or item_bytes not in _ITEM_SIZES[found["kind"]]:
        raise ValueError(
            f"arrays of type {dtype!r} are refused: texts, times, records and Python objects are "
            "no samples"
        )
    return item_bytes
