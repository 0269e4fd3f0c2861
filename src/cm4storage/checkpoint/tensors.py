"""What a checkpoint consists of: named, typed tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

ELEMENT_BYTES: Final = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
"""The size of an element by its type, under the names of the safetensors format."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a checkpoint, without its data.

    Attributes
    ----------
    name : str
        Unique within a file, such as ``layer.1.2``.
    dtype : str
        A key of `ELEMENT_BYTES`.
    shape : tuple of int
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """The length of its data, row by row without gaps."""
        return self.elements * ELEMENT_BYTES[self.dtype]
