"""Where the blocks of a file go when a range of it is read past the page cache.

Direct I/O moves whole blocks between offsets and addresses that are aligned. Those that lie wholly
in a caller's buffer, at an aligned address, go straight there. The rest go into a room of the
store's own, and are dealt out by copies. One system call reads all of them, one behind the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.storage.folders.alignment import Alignment

WORTH_BYTES: Final = 65536
"""Up to here a copy is cheaper than what it takes to avoid it."""

_MOST_STRAIGHT: Final = 256


def round_down(number: int, multiple: int) -> int:
    """Return the largest multiple that is not above `number`."""
    return number - number % multiple


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `number`."""
    return -(-number // multiple) * multiple


def address_of(buffer: memoryview) -> int:
    """Return where the memory of a buffer begins."""
    import numpy as np

    return int(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0])


def copy(target: memoryview, source: memoryview) -> None:
    """Copy bytes; other threads run meanwhile where that is worth it."""
    if source.nbytes <= WORTH_BYTES:
        target[:] = source
        return
    import numpy as np

    np.frombuffer(target, np.uint8)[:] = np.frombuffer(source, np.uint8)


@dataclass(slots=True)
class ReadPlan:
    """What to read, and where to.

    Attributes
    ----------
    start, end : int
        The range of the file, not longer than the buffers or the file.
    straight : list of (int, memoryview)
        Offsets of whole blocks, and the callers' memory that they go to.
    copies : list of (int, memoryview)
        Offsets of the rest, and where that is copied to.
    """

    start: int
    end: int
    alignment: Alignment
    straight: list[tuple[int, memoryview]] = field(default_factory=list)
    copies: list[tuple[int, memoryview]] = field(default_factory=list)

    @classmethod
    def of(
        cls, buffers: Sequence[memoryview], start: int, end: int, alignment: Alignment
    ) -> ReadPlan:
        """Return the plan that fills `buffers` with a range that is not empty."""
        plan, at = cls(start, end, alignment), start
        for buffer in buffers:
            if at >= end:
                break
            plan._add(at, buffer.cast("B")[: end - at])
            at += buffer.nbytes
        return plan

    @property
    def first(self) -> int:
        """Where the first block begins."""
        return round_down(self.start, self.alignment.block_bytes)

    @property
    def room_bytes(self) -> int:
        """How much room the blocks need that do not go straight."""
        whole = round_up(self.end, self.alignment.block_bytes) - self.first
        return whole - sum(view.nbytes for _, view in self.straight)

    def targets(self, room: memoryview) -> list[memoryview]:
        """Return the memory for all blocks in their order, what goes straight and parts of `room`.

        Parameters
        ----------
        room : memoryview
            Page-aligned, `room_bytes` long.
        """
        found, at = [], self.first
        for offset, view in self.straight:
            if offset > at:
                found.append(room[: offset - at])
                room = room[offset - at :]
            found.append(view)
            at = offset + view.nbytes
        return [*found, room] if room.nbytes else found

    def deal_out(self, room: memoryview) -> None:
        """Copy what came into `room` to where it is wanted."""
        straight = iter([*self.straight, (self.end, room[:0])])
        room_offset = self.first  # of the file, where `room` begins
        gap_end, view = next(straight)
        for offset, target in self.copies:
            while offset >= gap_end:
                room = room[gap_end - room_offset :]
                room_offset = gap_end + view.nbytes
                gap_end, view = next(straight)
            begin = offset - room_offset
            copy(target, room[begin : begin + target.nbytes])

    def _add(self, at: int, buffer: memoryview) -> None:
        block_bytes = self.alignment.block_bytes
        first, last = round_up(at, block_bytes), round_down(at + buffer.nbytes, block_bytes)
        goes_straight = (
            last - first > WORTH_BYTES
            and len(self.straight) < _MOST_STRAIGHT
            and not (address_of(buffer) + first - at) % self.alignment.memory_bytes
        )
        if not goes_straight:
            first = last = at + buffer.nbytes
        self._add_copy(at, buffer[: first - at])
        if goes_straight:
            self.straight.append((first, buffer[first - at : last - at]))
        self._add_copy(last, buffer[last - at :])

    def _add_copy(self, at: int, buffer: memoryview) -> None:
        if buffer.nbytes:
            self.copies.append((at, buffer))
