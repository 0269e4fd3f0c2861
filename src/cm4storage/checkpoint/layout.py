"""Where everything is in a file before compression: a pure function of a few offsets."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cm4storage.checkpoint.encoding import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.checkpoint.containers import Container
    from cm4storage.checkpoint.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a block that belongs together.

    Attributes
    ----------
    tensor : int
        The number of the tensor whose data it is, or which it stands before.
    is_data : bool
        Else it belongs to the frame: the header, or what is between two tensors.
    start, length : int
        In bytes, in the tensor or in what stands before it.
    at : int
        The place in the block.
    """

    tensor: int
    is_data: bool
    start: int
    length: int
    at: int


@dataclass(frozen=True)
class Layout:
    """The places of all tensors in one file.

    Attributes
    ----------
    offsets : sequence of int
        Where the data of each tensor begin.
    sizes : sequence of int
        Their lengths in bytes.
    tail_bytes : int
        What follows the last tensor.
    """

    offsets: Sequence[int]
    sizes: Sequence[int]
    tail_bytes: int
    body_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        end = self.offsets[-1] + self.sizes[-1] if self.offsets else 0
        object.__setattr__(self, "body_bytes", end)

    @classmethod
    def of(cls, tensors: Sequence[Tensor], container: Container) -> Layout:
        """Return the layout of a file that is to be written."""
        offsets, position = [], 0
        for number, tensor in enumerate(tensors):
            position += len(container.lead(number))
            offsets.append(position)
            position += tensor.size_bytes
        return cls(offsets, [tensor.size_bytes for tensor in tensors], container.tail_bytes)

    @property
    def total_bytes(self) -> int:
        """The length of the file before compression."""
        return self.body_bytes + self.tail_bytes

    @property
    def blocks(self) -> int:
        """The number of blocks of all but the tail, which is a block of its own."""
        return -(-self.body_bytes // BLOCK_BYTES)

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the first byte of a block, and that behind its last."""
        if block == self.blocks:
            return self.body_bytes, self.total_bytes
        return block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, self.body_bytes)

    def spans(self, block: int) -> Iterator[Span]:
        """Yield the parts of a block, in order and without gaps; none of the tail."""
        begin, end = self.bounds(block)
        position = begin
        number = max(0, bisect.bisect_right(self.offsets, begin) - 1)
        while position < end:
            offset, size_bytes = self.offsets[number], self.sizes[number]
            is_data = position >= offset
            stop = min(end, offset + size_bytes if is_data else offset)
            if stop > position:
                start = position - (offset if is_data else self._gap_begin(number))
                yield Span(number, is_data, start, stop - position, position - begin)
            position = max(position, stop)
            number += is_data

    def _gap_begin(self, number: int) -> int:
        return self.offsets[number - 1] + self.sizes[number - 1] if number else 0
