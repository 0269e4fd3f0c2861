"""Reading the samples of a file straight to where they are wanted, by one scattered read.

The layout of the file must be known: what stands around the samples goes into memory of its own,
to be compared, and what is not wanted of a sample into a scratch buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.formats.format import Source

_STREAM_BYTES = MIB
_MOST_MISSES = 3
_NOTHING = memoryview(b"")


class Scratch(Protocol):
    """Memory for bytes that nobody wants."""

    def take(self, size_bytes: int) -> Sequence[memoryview]:
        """Return buffers of `size_bytes` together."""


class StreamScratch:
    """Scratch of which the bytes need not stay: they pass through one small buffer."""

    def __init__(self, most_bytes: int = _STREAM_BYTES) -> None:
        self._most_bytes = most_bytes
        self._buffer = memoryview(bytearray())

    def take(self, size_bytes: int) -> Sequence[memoryview]:
        """Return the same buffer as often as it takes."""
        if len(self._buffer) < min(size_bytes, self._most_bytes):
            self._buffer = memoryview(bytearray(min(size_bytes, self._most_bytes)))
        times, rest = divmod(size_bytes, len(self._buffer))
        return [self._buffer] * times + ([self._buffer[:rest]] if rest else [])


class KeptScratch:
    """Scratch of which the bytes are looked at: those of the last `take` are in `last`."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray())
        self.last = self._buffer

    def take(self, size_bytes: int) -> Sequence[memoryview]:
        """Return one buffer, the same each time if it is large enough."""
        if len(self._buffer) < size_bytes:
            self._buffer = memoryview(bytearray(size_bytes))
        self.last = self._buffer[:size_bytes]
        return (self.last,)


@dataclass(frozen=True)
class Piece:
    """A run of bytes in a file that belongs to one sample.

    Attributes
    ----------
    gap_bytes : int
        How many other bytes stand before it.
    sample : int or None
        Whose bytes it is; None where nobody wants them.
    start, end : int
        Which bytes of the sample they are.
    """

    gap_bytes: int
    sample: int | None
    start: int
    end: int


class Layout:
    """Where the samples are in a file.

    Attributes
    ----------
    outside : bytearray
        After a read: all bytes that are of no piece, one after the other.
    file_bytes : int
        The size that the file must have.
    """

    def __init__(self, pieces: Sequence[Piece], tail_bytes: int) -> None:
        gaps = [piece.gap_bytes for piece in pieces]
        self.outside = bytearray(sum(gaps) + tail_bytes)
        self.file_bytes = len(self.outside) + sum(piece.end - piece.start for piece in pieces)
        view, at = memoryview(self.outside), 0
        self._steps: list[tuple[memoryview | None, int | None, int, int]] = []
        for piece in pieces:
            gap = view[at : at + piece.gap_bytes] if piece.gap_bytes else None
            at += piece.gap_bytes
            self._steps.append((gap, piece.sample, piece.start, piece.end))
        # One byte more than there should be shows that the file is longer.
        self._end = [*([view[at:]] if tail_bytes else []), memoryview(bytearray(1))]
        self._buffers, self._places = self._of_whole_samples()

    @property
    def around(self) -> tuple[list[memoryview], list[memoryview]]:
        """The buffers before and behind the sample of a file that has one."""
        gap = self._steps[0][0]
        return [] if gap is None else [gap], self._end

    def _of_whole_samples(self) -> tuple[list[memoryview], list[tuple[int, int, int]]]:
        """Return the buffers of a read of whole samples, and where whose row of which size goes.

        Nothing where a sample is in several pieces.
        """
        buffers: list[memoryview] = []
        places: list[tuple[int, int, int]] = []
        for gap, sample, start, end in self._steps:
            if sample is None or start:
                return [], []
            buffers += [] if gap is None else [gap]
            places.append((len(buffers), sample, end))
            buffers.append(_NOTHING)
        return buffers + self._end, places

    def read(self, source: Source, rows: Sequence[memoryview | None], scratch: Scratch) -> bool:
        """Read the file; tell whether it has the right size."""
        buffers = self._whole(rows) or self._in_parts(rows, scratch)
        return source.scatter(0, buffers) == self.file_bytes

    def _whole(self, rows: Sequence[memoryview | None]) -> list[memoryview] | None:
        """Return the buffers if each row takes the whole of its sample, as most do."""
        buffers = self._buffers
        for place, sample, size_bytes in self._places:
            row = rows[sample]
            if row is None or len(row) != size_bytes:
                return None
            buffers[place] = row
        return buffers

    def _in_parts(self, rows: Sequence[memoryview | None], scratch: Scratch) -> list[memoryview]:
        buffers: list[memoryview] = []
        for gap, sample, start, end in self._steps:
            if gap is not None:
                buffers.append(gap)
            row = None if sample is None else rows[sample]
            have = 0 if row is None else len(row)
            if row is not None and have > start:
                buffers.append(row if have <= end and not start else row[start:end])
            if have < end:
                buffers += scratch.take(end - max(start, have))
        return buffers + self._end


class Misses:
    """Tells when to stop trying: files that are never as expected would all be read twice.

    Attributes
    ----------
    are_too_many : bool
        Whether no other file will be as expected either.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self.are_too_many = False

    def note(self, *, is_read: bool) -> bool:
        """Count a file that was not as expected; return the argument."""
        self._in_a_row = 0 if is_read else self._in_a_row + 1
        self.are_too_many = self._in_a_row >= _MOST_MISSES
        return is_read


def one_sample(head_bytes: int, sample_bytes: int, tail_bytes: int) -> Layout:
    """Return the layout of a file with one sample."""
    return Layout([Piece(head_bytes, 0, 0, sample_bytes)], tail_bytes)
