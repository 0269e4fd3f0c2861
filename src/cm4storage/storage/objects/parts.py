"""The body of a large object on its way into a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import InternalError, StorageFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_PARTS: Final = 10_000


class Upload:
    """The parts of one object, counted.

    Attributes
    ----------
    size_bytes : int
        What has gone into the client.
    error : BaseException or None
        What the source of the parts raised: a client would wrap it.
    """

    def __init__(self, first: bytearray, rest: Iterator[bytearray], where: str) -> None:
        self._first: bytearray | None = first
        self._rest = rest
        self._where = where
        self._count = 0
        self._is_abandoned = False
        self.size_bytes = 0
        self.error: BaseException | None = None

    def abandon(self) -> None:
        """Let the upload fail at its next part, so that no object appears."""
        self._is_abandoned = True

    def __iter__(self) -> Upload:
        return self

    def __next__(self) -> bytearray:
        try:
            part = self._first if self._first is not None else next(self._rest)
            self._first = None
            self._note(part)
            return part
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise

    def _note(self, part: bytearray) -> None:
        if self._is_abandoned:
            raise InternalError("the upload was given up")
        self._count += 1
        self.size_bytes += len(part)
        if self._count > _MAX_PARTS:
            raise StorageFault(
                f"the object has more than {_MAX_PARTS} parts",
                where=self._where,
                meaning="object services allow no more in one object",
                advice="write smaller objects",
            )


def in_parts(chunks: Iterable[memoryview], part_bytes: int) -> Iterator[bytearray]:
    """Copy `chunks` into parts of `part_bytes`; the last may be shorter, and a lone one empty.

    They are copied because a client sends several at once while the caller reuses its memory.
    """
    part = bytearray()
    is_first = True
    for chunk in chunks:
        rest = memoryview(chunk).cast("B")
        while rest.nbytes:
            room = part_bytes - len(part)
            part += rest[:room]
            rest = rest[room:]
            if len(part) == part_bytes:
                yield part
                part, is_first = bytearray(), False
    if part or is_first:  # Azure refuses an empty block
        yield part
