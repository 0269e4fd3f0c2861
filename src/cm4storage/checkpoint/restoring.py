"""Read files of checkpoints, and compare every byte with what was written."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import xxhash

from cm4storage.checkpoint.encoding import BLOCK_BYTES, Encoding
from cm4storage.checkpoint.in_order import in_order
from cm4storage.checkpoint.seek_table import seek_table
from cm4storage.core.errors import StorageFault
from cm4storage.core.units import MIB
from cm4storage.storage.buffers import BufferPool, give_back
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cm4storage.checkpoint.layout import Span
    from cm4storage.checkpoint.written import WrittenFile
    from cm4storage.storage.buffers import Buffer
    from cm4storage.storage.store import Store


_KEPT_BYTES: Final = 64 * MIB
_POOL: Final = BufferPool(_KEPT_BYTES)
_AGAIN: Final = "restore an older checkpoint, and look for the cause: memory, disk or network"


class DamagedCheckpoint(StorageFault):
    """A file of a checkpoint is not as it was written."""


def read_file(
    store: Store,
    written: WrittenFile,
    take: Callable[[int, int, memoryview], None] | None = None,
    *,
    threads: int = 0,
) -> None:
    """Read one file and compare it with its digests.

    Parameters
    ----------
    store : Store
    written : WrittenFile
    take : callable, optional
        Gets each part of the data in order: the tensor's number, the first byte in it, the bytes,
        which are valid until it returns. Only what has been compared comes here.
    threads : int
        That read and compare; 0: as many as there are processors, at most 4.

    Raises
    ------
    DamagedCheckpoint
        If the file is not as it was written: names the tensor and the place.
    StorageFault
        If the storage fails.
    """
    reader = _Reader(store, written)
    reader.check_size()
    layout = written.layout
    blocks = range(layout.blocks + bool(layout.tail_bytes))
    frame = xxhash.xxh3_128()
    threads = threads or Encoding().threads
    with in_order(reader.block, blocks, threads=threads, drop=_give_back) as read_blocks:
        for block in read_blocks:
            for span, part in block.parts:
                if not span.is_data:
                    frame.update(part)
                elif take is not None:
                    take(span.tensor, span.start, part)
            frame.update(block.tail)
            _give_back(block)
    if frame.hexdigest() != written.frame_digest:
        raise DamagedCheckpoint(
            "the checkpoint is damaged: its header, or what is between its tensors, has changed",
            where=f"{store.uri}/{written.key}",
            meaning="all tensors are as they were written",
            advice=_AGAIN,
        )
    reader.check_table()


def read_tensor(store: Store, written: WrittenFile, name: str) -> bytearray:
    """Return the data of one tensor, compared; no more is read than the blocks that it is in.

    Raises
    ------
    UserError
        If there is no such tensor.
    StorageFault
        As `read_file`.
    """
    number = written.number_of(name)
    stored = written.tensors[number]
    data = bytearray(stored.tensor.size_bytes)
    if not data:
        return data
    reader = _Reader(store, written)
    reader.check_size()
    first = stored.offset_bytes // BLOCK_BYTES
    last = (stored.offset_bytes + len(data) - 1) // BLOCK_BYTES
    for number_of_block in range(first, last + 1):
        block = reader.block(number_of_block, only=number)
        for span, part in block.parts:
            data[span.start : span.start + span.length] = part
        _give_back(block)
    return data


@dataclass
class _Block:
    """A block that has been read and compared.

    Attributes
    ----------
    parts : list of (Span, memoryview)
    tail : memoryview
        All of it, if it is the last.
    """

    buffer: Buffer | None
    parts: list[tuple[Span, memoryview]]
    tail: memoryview


class _Reader:
    """Reads blocks of one file; serves several threads."""

    def __init__(self, store: Store, written: WrittenFile) -> None:
        self._store = store
        self._written = written
        self._where = f"{store.uri}/{written.key}"
        self._decompressors = _Decompressors()
        self._frames = _starts(written.zstd_frames)

    def check_size(self) -> None:
        """Find out whether all of the file is there."""
        try:
            size_bytes = self._store.stat(self._written.key).size_bytes
        except MissingObject as error:
            raise DamagedCheckpoint(
                "the checkpoint's file is missing", where=self._where, advice=_AGAIN
            ) from error
        expected = self._written.stored_bytes
        if size_bytes != expected:
            raise DamagedCheckpoint(
                f"the checkpoint is damaged: {size_bytes:,} bytes of it are there, and "
                f"{expected:,} were written",
                where=f"{self._where}{self._lost(size_bytes)}",
                meaning="it was cut off or written again by something else",
                advice=_AGAIN,
            )

    def check_table(self) -> None:
        """Compare the table behind the compressed blocks, if there is one."""
        lengths = self._written.zstd_frames
        if lengths is None:
            return
        bounds = map(self._written.layout.bounds, range(len(lengths)))
        expected = seek_table(lengths, [end - begin for begin, end in bounds])
        start = self._frames[-1]
        with self._store.read(self._written.key, start=start, length=len(expected)) as table:
            if bytes(table) != expected:
                raise DamagedCheckpoint(
                    "the checkpoint is damaged: the table at its end has changed",
                    where=f"{self._where}, byte {start}",
                    meaning="all tensors are as they were written",
                    advice=_AGAIN,
                )

    def block(self, number: int, only: int | None = None) -> _Block:
        """Return a block, or of it nothing but one tensor's data."""
        begin, end = self._written.layout.bounds(number)
        if self._written.zstd_frames is None:
            buffer, view = self._plain(begin, end)
        else:
            buffer, view = None, self._decompressed(number, begin, end)
        if number == self._written.layout.blocks:
            return _Block(buffer, [], view)
        parts = [
            (span, view[span.at : span.at + span.length])
            for span in self._written.layout.spans(number)
            if only is None or (span.is_data and span.tensor == only)
        ]
        for span, part in parts:
            if span.is_data:
                self._compare(span, part)
        return _Block(buffer, parts, view[:0])

    def _plain(self, begin: int, end: int) -> tuple[Buffer, memoryview]:
        buffer = _POOL.acquire(end - begin)
        view = buffer.view(end - begin)
        count = self._store.read_into(self._written.key, view, start=begin)
        if count != end - begin:
            raise self._ended(begin + count)
        return buffer, view

    def _decompressed(self, number: int, begin: int, end: int) -> memoryview:
        start, length = self._frames[number], self._frames[number + 1] - self._frames[number]
        with self._store.read(self._written.key, start=start, length=length) as frame:
            if frame.nbytes != length:
                raise self._ended(begin)
            try:
                data = self._decompressors.decompress(frame, end - begin)
            except ValueError as error:
                raise self._damaged(begin, str(error)) from error
        if len(data) != end - begin:
            raise self._damaged(begin, f"it has {len(data)} bytes in place of {end - begin}")
        return memoryview(data)

    def _compare(self, span: Span, part: memoryview) -> None:
        stored = self._written.tensors[span.tensor]
        first = stored.offset_bytes // BLOCK_BYTES
        piece = (stored.offset_bytes + span.start) // BLOCK_BYTES - first
        if xxhash.xxh3_128_hexdigest(part) != stored.pieces[piece]:
            end = span.start + span.length
            raise DamagedCheckpoint(
                f"the checkpoint is damaged: tensor {stored.tensor.name!r}, between its bytes "
                f"{span.start:,} and {end:,}",
                where=f"{self._where}, byte {stored.offset_bytes + span.start}",
                meaning="what was read is not what was written",
                advice=_AGAIN,
            )

    def _damaged(self, begin: int, reason: str) -> DamagedCheckpoint:
        return DamagedCheckpoint(
            f"the checkpoint is damaged: {self._name_at(begin)}: its compressed block cannot be "
            f"read: {reason}",
            where=f"{self._where}, byte {begin} before compression",
            advice=_AGAIN,
        )

    def _ended(self, at: int) -> DamagedCheckpoint:
        return DamagedCheckpoint(
            f"the checkpoint is damaged: it ends in {self._name_at(at)}",
            where=f"{self._where}, byte {at}",
            advice=_AGAIN,
        )

    def _lost(self, size_bytes: int) -> str:
        """Say which tensor is the first that is not whole."""
        if size_bytes >= self._written.stored_bytes:
            return ""
        position = size_bytes
        if self._written.zstd_frames is not None:
            whole = sum(1 for start in self._frames[1:] if start <= size_bytes)
            position = (
                self._written.layout.bounds(whole)[0] if whole < len(self._frames) - 1 else -1
            )
        return f", from {self._name_at(position)} on" if position >= 0 else ""

    def _name_at(self, position: int) -> str:
        """Return what is at a byte of the file before compression."""
        for each in self._written.tensors:
            end = each.offset_bytes + each.tensor.size_bytes
            if position < end:
                inner = max(0, position - each.offset_bytes)
                return f"tensor {each.tensor.name!r}, byte {inner:,}"
        return "the table at its end"


class _Decompressors(threading.local):
    """The decompressor of each thread: none serves two at once."""

    def __init__(self) -> None:
        self._decompressor: Any = None

    def decompress(self, frame: memoryview, length: int) -> bytes:
        """Return what is in a frame.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        import zstandard

        if self._decompressor is None:
            self._decompressor = zstandard.ZstdDecompressor()
        try:
            return bytes(self._decompressor.decompress(frame, max_output_size=length))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error


def _starts(lengths: Sequence[int] | None) -> list[int]:
    """Return where each compressed block begins, and where the last ends."""
    starts = [0]
    for length in lengths or ():
        starts.append(starts[-1] + length)
    return starts


def _give_back(block: _Block) -> None:
    views = [part for _, part in block.parts]
    if block.buffer is not None:
        give_back(_POOL, block.buffer, block.tail, *views)
