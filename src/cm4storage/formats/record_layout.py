"""TFRecord files whose records are all alike, read straight to where their images are wanted."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from cm4storage.core.units import MIB
from cm4storage.formats.crc32c import crc32c
from cm4storage.formats.example import ImageExample

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Source

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
FRAME_BYTES = HEADER.size + FOOTER.size

# Three buffers a record at most: the system takes 1,024 at a time.
_RECORDS_AT_ONCE = 340
_UNWANTED_BYTES = 4 * MIB
# What is verified is used right after, and should still be in the processor's cache then.
_BYTES_AT_ONCE = 2**18
_MASK = 0xA282EAD8


def masked(crc: int) -> int:
    """Return a CRC-32C as TFRecord files store it."""
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def frame_header(data_bytes: int) -> bytes:
    """Return the length of a record's data and its checksum."""
    length = struct.pack("<Q", data_bytes)
    return length + FOOTER.pack(masked(crc32c(length)))


class RecordLayout(NamedTuple):
    """Where the image is in a record whose bytes around it are known.

    Attributes
    ----------
    record_bytes : int
        The size of the record with its lengths and checksums.
    image_start, image_end : int
        From the start of the record.
    head, tail : bytes
        What stands before the image, and between it and the checksum of the data. Where they are
        the same as in a record before, the record need not be taken apart.
    is_kept : bool
        False where they are too long to be kept, and so not known.
    """

    record_bytes: int
    image_start: int
    image_end: int
    head: bytes
    tail: bytes
    is_kept: bool = True

    @classmethod
    def of_size(cls, image_bytes: int) -> RecordLayout:
        """Return the layout of the records that we write for images of this size."""
        example = ImageExample.of_size(image_bytes)
        head = frame_header(example.total_bytes) + example.head
        end = len(head) + image_bytes
        record_bytes = example.total_bytes + FRAME_BYTES
        return cls(record_bytes, len(head), end, head, example.tail)

    @property
    def image_bytes(self) -> int:
        """The size of the image."""
        return self.image_end - self.image_start

    def fits(self, view: memoryview, at: int) -> bool:
        """Tell whether the record at `at` is whole and has this layout."""
        end = at + self.record_bytes
        return (
            end <= len(view)
            and bytes(view[at : at + self.image_start]) == self.head
            and bytes(view[at + self.image_end : end - FOOTER.size]) == self.tail
        )

    def sound_records(self, view: memoryview, at: int) -> int:
        """Return how many records at `at` have this layout and right checksums.

        0 also where a look at each record costs no more. At most `_BYTES_AT_ONCE` are looked at.
        """
        count = min(len(view) - at, _BYTES_AT_ONCE) // self.record_bytes
        if count < 2:
            return 0
        import numpy as np

        size = self.record_bytes
        end = at + count * size
        records = np.frombuffer(view[at:end], np.uint8).reshape(count, size)
        crcs = [
            crc32c(view[start + HEADER.size : start + size - FOOTER.size])
            for start in range(at, end, size)
        ]
        sound = (
            _are_all(records[:, : self.image_start], self.head)
            and _are_all(records[:, self.image_end : -FOOTER.size], self.tail)
            and not _wrong(crcs, records[:, -FOOTER.size :]).size
        )
        return count if sound else 0


class DirectReader:
    """Reads files of records of one layout into rows.

    Some hundred records are read in one go: the head of the first, its image, then a gap, which is
    the record's tail and checksum and the head of the next, its image, and so on. All gaps are
    compared at once with what they should hold.
    """

    def __init__(self, layout: RecordLayout) -> None:
        import numpy as np

        self.layout = layout
        self._end_bytes = len(layout.tail) + FOOTER.size
        gap_bytes = self._end_bytes + len(layout.head)
        self._head_crc = crc32c(layout.head[HEADER.size :])
        memory = memoryview(bytearray((_RECORDS_AT_ONCE + 1) * gap_bytes))
        self._gaps: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8).reshape(-1, gap_bytes)
        # The first head stands where it would in a gap, and the last gap has no head.
        self._views = [
            memory[start : start + gap_bytes] for start in range(0, len(memory), gap_bytes)
        ]
        self._views[0] = memory[self._end_bytes : gap_bytes]
        self._scratch = memoryview(b"")

    def read(self, source: Source, rows: Sequence[memoryview | None]) -> bool:
        """Fill `rows` with the images of a file that holds as many; False if it is not so.

        Raises
        ------
        DamagedRecord
            If the checksum of a record's data is wrong.
        """
        at_once = self._records_at_once(rows)
        for first in range(0, len(rows), at_once):
            images = self._images(rows[first : first + at_once])
            # One byte more than there should be shows whether the file ends there.
            more_bytes = 1 if first + len(images) == len(rows) else 0
            if not self._read_images(source, first, images, more_bytes):
                return False
            self._verify(images, first)
        return True

    def _records_at_once(self, rows: Sequence[memoryview | None]) -> int:
        """Return what the system takes, or less where unwanted bytes would take much memory."""
        size = self.layout.image_bytes
        if all(row is not None and len(row) == size for row in rows):
            return _RECORDS_AT_ONCE
        return max(1, min(_RECORDS_AT_ONCE, _UNWANTED_BYTES // size))

    def _images(self, rows: Sequence[memoryview | None]) -> list[tuple[memoryview, ...]]:
        """Return the buffers that each image comes to: its row, and one for what is left."""
        size, used = self.layout.image_bytes, 0
        images: list[tuple[memoryview, ...]] = []
        for row in rows:
            if row is not None and len(row) == size:
                images.append((row,))
                continue
            wanted = () if row is None else (row,)
            left_bytes = size - sum(map(len, wanted))
            images.append((*wanted, self._left(used, left_bytes, len(rows))))
            used += left_bytes
        return images

    def _left(self, used: int, left_bytes: int, records: int) -> memoryview:
        if not self._scratch or used + left_bytes > len(self._scratch):
            self._scratch = memoryview(bytearray(records * self.layout.image_bytes))
        return self._scratch[used : used + left_bytes]

    def _read_images(
        self, source: Source, first: int, images: list[tuple[memoryview, ...]], more_bytes: int
    ) -> bool:
        """Read the records; tell whether they are as long as they should and look as known."""
        layout, count = self.layout, len(images)
        buffers = [self._views[0]]
        for image, gap in zip(images, self._views[1:], strict=False):
            buffers += image
            buffers.append(gap)
        buffers[-1] = buffers[-1][: self._end_bytes + more_bytes]
        came_bytes = source.scatter(first * layout.record_bytes, buffers)
        return (
            came_bytes == count * layout.record_bytes
            and _are_all(self._gaps[:count, self._end_bytes :], layout.head)
            and _are_all(self._gaps[1 : count + 1, : len(layout.tail)], layout.tail)
        )

    def _verify(self, images: list[tuple[memoryview, ...]], first: int) -> None:
        head_crc, tail, crcs = self._head_crc, self.layout.tail, []
        for image in images:
            crc = head_crc
            for part in image:
                crc = crc32c(part, crc)
            crcs.append(crc32c(tail, crc))
        stored = self._gaps[1 : len(images) + 1, len(tail) : self._end_bytes]
        wrong = _wrong(crcs, stored)
        if wrong.size:
            raise DamagedRecord(first + int(wrong[0]))


class DamagedRecord(ValueError):
    """The checksum of a record's data is wrong.

    Parameters
    ----------
    record : int
        Its number.
    """

    def __init__(self, record: int) -> None:
        super().__init__("the checksum of a record's data is wrong")
        self.record = record


def _are_all(rows: npt.NDArray[np.uint8], expected: bytes) -> bool:
    import numpy as np

    return bool((rows == np.frombuffer(expected, np.uint8)).all())


def _wrong(crcs: list[int], stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Return the numbers of the records whose checksum is not the stored one."""
    import numpy as np

    crc = np.array(crcs, np.uint32)
    expected = (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_MASK)
    found = np.ascontiguousarray(stored).view("<u4")[:, 0]
    return np.flatnonzero(expected != found)
