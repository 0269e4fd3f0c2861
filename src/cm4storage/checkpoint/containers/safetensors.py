"""The safetensors format: a header in JSON, and the data of all tensors without gaps.

Source: the format's description at https://github.com/huggingface/safetensors: 8 bytes with the
header's length (little endian), the header, the data. A header may end in spaces.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cm4storage.checkpoint.tensors import Tensor

_LENGTH_BYTES: Final = 8
# Data that start at a page can be mapped, and read past the page cache, without a copy.
_ALIGNMENT_BYTES: Final = 4096


class Safetensors:
    """The layout of one safetensors file; see `Container`."""

    wants_crc32 = False

    def __init__(self, tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> None:
        self._header = _header(tensors, metadata)
        self._tail = b"" if tensors else self._header
        self.tail_bytes = len(self._tail)

    def lead(self, number: int, crc32_before: int = 0) -> bytes:
        """Return the header before the first tensor, else nothing."""
        del crc32_before
        return b"" if number else self._header

    def tail(self, crc32_of: Sequence[int]) -> bytes:
        """Return nothing, or the header where there are no tensors that it could stand before."""
        del crc32_of
        return self._tail


def _header(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> bytes:
    index: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    begin = 0
    for tensor in tensors:
        end = begin + tensor.size_bytes
        index[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(index, separators=(",", ":")).encode()
    length = -(-(_LENGTH_BYTES + len(text)) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES - _LENGTH_BYTES
    return length.to_bytes(_LENGTH_BYTES, "little") + text.ljust(length)
