"""The header of ``.npy`` arrays. Source: ``numpy/lib/format.py``, format versions 1.0 to 3.0."""

from __future__ import annotations

import ast
import math
import struct
from dataclasses import dataclass

_MAGIC = b"\x93NUMPY"
_ALIGNMENT = 64


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
    """

    dtype: str
    fortran_order: bool
    shape: tuple[int, ...]
    data_offset: int

    @property
    def data_bytes(self) -> int:
        """The size of the array's bytes."""
        return math.prod(self.shape) * int(self.dtype[2:])


def encode_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a C-ordered array, padded as numpy pads it."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    unpadded = len(_MAGIC) + 4 + len(text) + 1
    padding = -unpadded % _ALIGNMENT
    body = text.encode("latin-1") + b" " * padding + b"\n"
    return _MAGIC + b"\x01\x00" + struct.pack("<H", len(body)) + body


def decode_header(view: memoryview) -> NpyHeader:
    """Read the header at the start of `view`.

    Raises
    ------
    ValueError
        Saying what is wrong: no array, an array of Python objects, an unknown version.
    """
    if bytes(view[:6]) != _MAGIC or len(view) < 12:
        raise ValueError("no .npy array")
    major = view[6]
    if major not in (1, 2, 3):
        raise ValueError(f"version {major} of .npy is not known")
    size_format, start = ("<H", 10) if major == 1 else ("<I", 12)
    (size,) = struct.unpack_from(size_format, view, 8)
    if start + size > len(view):
        raise ValueError("the array's header is cut off")
    return _from_text(bytes(view[start : start + size]).decode("latin-1"), start + size)


def _from_text(text: str, data_offset: int) -> NpyHeader:
    try:
        fields = ast.literal_eval(text.strip())
        dtype, shape = fields["descr"], tuple(int(side) for side in fields["shape"])
        fortran_order = bool(fields["fortran_order"])
    except (ValueError, SyntaxError, KeyError, TypeError) as error:
        raise ValueError("the array's header is not readable") from error
    if not isinstance(dtype, str) or "O" in dtype:
        raise ValueError("arrays of Python objects or records are refused")
    if not dtype[2:].isdigit() or min(shape, default=0) < 0:
        raise ValueError(f"type {dtype!r} or shape {shape} is not readable")
    return NpyHeader(dtype, fortran_order, shape, data_offset)
