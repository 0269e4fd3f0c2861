"""Write one file of a checkpoint: made, digested and compressed on threads, stored in order."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import xxhash
from isal.isal_zlib import crc32, crc32_combine

from cm4storage.checkpoint.containers import container_of
from cm4storage.checkpoint.in_order import in_order
from cm4storage.checkpoint.layout import Layout
from cm4storage.checkpoint.seek_table import seek_table
from cm4storage.checkpoint.written import StoredTensor, WrittenFile
from cm4storage.core.units import MIB
from cm4storage.storage.buffers import BufferPool, give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from cm4storage.checkpoint.encoding import Encoding
    from cm4storage.checkpoint.layout import Span
    from cm4storage.checkpoint.payload import Payload
    from cm4storage.storage.buffers import Buffer
    from cm4storage.storage.store import Store

# Of what a file needs while it is written, for the next one.
_KEPT_BYTES: Final = 64 * MIB
_POOL: Final = BufferPool(_KEPT_BYTES)


@dataclass
class _Made:
    """A block that is ready to be stored.

    Attributes
    ----------
    spans : list of Span
        The parts of it.
    checks : list
        For each span that is a tensor's data, in order: its digest and its CRC-32.
    """

    buffer: Buffer
    view: memoryview
    spans: list[Span]
    compressed: bytes | None = None
    checks: list[tuple[str, int]] = field(default_factory=list)

    def part(self, span: Span) -> memoryview:
        return self.view[span.at : span.at + span.length]

    @property
    def stored(self) -> memoryview:
        return self.view if self.compressed is None else memoryview(self.compressed)


def write_file(
    store: Store,
    key: str,
    payload: Payload,
    encoding: Encoding,
    metadata: Mapping[str, str],
    note: Callable[[int], None] | None = None,
) -> WrittenFile:
    """Write the tensors of `payload` to one object, complete or not at all.

    No more than a few blocks are in memory, whatever the size.

    Parameters
    ----------
    store : Store
    key : str
    payload : Payload
    encoding : Encoding
    metadata : mapping of str to str
        Kept in the file's header, where its format has one.
    note : callable, optional
        Called with the number of bytes of each block (before compression) that has been stored.

    Raises
    ------
    StorageFault
        If the storage fails.
    """
    stream = _Stream(payload, encoding, metadata, note or _say_nothing)
    chunks = stream.chunks()
    try:
        stored_bytes = store.write(key, chunks)
    except Exception:  # after an interrupt a client's thread may still be in it
        with contextlib.suppress(ValueError):  # so it may after a failure
            chunks.close()  # its threads end now, not some day
        raise
    return stream.written(key, stored_bytes)


def _say_nothing(count: int) -> None:
    del count


class _Stream:
    """The bytes of one file, and what is learned of them on the way."""

    def __init__(
        self,
        payload: Payload,
        encoding: Encoding,
        metadata: Mapping[str, str],
        note: Callable[[int], None],
    ) -> None:
        self._payload = payload
        self._encoding = encoding
        self._note = note
        self._container = container_of(encoding.container, payload.tensors, metadata)
        self._layout = Layout.of(payload.tensors, self._container)
        self._compressors = _Compressors(encoding.zstd_level)
        count = len(payload.tensors)
        self._pieces: list[list[str]] = [[] for _ in range(count)]
        self._crc32_of = [0] * count
        self._frame = xxhash.xxh3_128()
        self._frames: list[int] = []
        self._originals: list[int] = []

    def chunks(self) -> Generator[memoryview]:
        """Yield the file; each part is valid until the next is asked for."""
        blocks, threads = range(self._layout.blocks), self._encoding.threads
        with in_order(self._make, blocks, threads=threads, drop=_give_back) as made_blocks:
            for made in made_blocks:
                self._learn(made)
                yield made.stored
                self._note(made.view.nbytes)
                _give_back(made)
        yield from self._end()

    def written(self, key: str, stored_bytes: int) -> WrittenFile:
        """Return what is known of the file, once all of it has been yielded."""
        return WrittenFile(
            key=key,
            container=self._encoding.container,
            tensors=tuple(
                StoredTensor(tensor, offset, tuple(pieces))
                for tensor, offset, pieces in zip(
                    self._payload.tensors, self._layout.offsets, self._pieces, strict=True
                )
            ),
            frame_digest=self._frame.hexdigest(),
            tail_bytes=self._layout.tail_bytes,
            stored_bytes=stored_bytes,
            zstd_frames=tuple(self._frames) if self._compressors.are_used else None,
        )

    def _make(self, block: int) -> _Made:
        """Make a block; where CRCs stand between the data, those who know them fill them in."""
        begin, end = self._layout.bounds(block)
        buffer = _POOL.acquire(end - begin)
        made = _Made(buffer, buffer.view(end - begin), list(self._layout.spans(block)))
        wants_crc32 = self._container.wants_crc32
        for span in made.spans:
            part = made.part(span)
            if span.is_data:
                self._payload.fill(span.tensor, span.start, part)
                digest = xxhash.xxh3_128_hexdigest(part)
                made.checks.append((digest, crc32(part) if wants_crc32 else 0))
            elif not wants_crc32:
                part[:] = self._lead(span)
        if self._compressors.are_used:
            made.compressed = self._compressors.compress(made.view)
        return made

    def _learn(self, made: _Made) -> None:
        checks = iter(made.checks)
        for span in made.spans:
            if span.is_data:
                digest, checksum = next(checks)
                self._pieces[span.tensor].append(digest)
                before = self._crc32_of[span.tensor]
                self._crc32_of[span.tensor] = crc32_combine(before, checksum, span.length)
                continue
            if self._container.wants_crc32:
                made.part(span)[:] = self._lead(span)
            self._frame.update(made.part(span))
        self._count(made.compressed, made.view.nbytes)

    def _lead(self, span: Span) -> bytes:
        before = self._crc32_of[span.tensor - 1] if span.tensor else 0
        lead = self._container.lead(span.tensor, before)
        return lead[span.start : span.start + span.length]

    def _end(self) -> Generator[memoryview]:
        checksums = self._crc32_of if self._container.wants_crc32 else ()
        tail = self._container.tail(checksums)
        if tail:
            self._frame.update(tail)
            compressed = self._compressors.compress(tail) if self._compressors.are_used else None
            self._count(compressed, len(tail))
            yield memoryview(tail if compressed is None else compressed)
        if self._compressors.are_used:
            yield memoryview(seek_table(self._frames, self._originals))

    def _count(self, compressed: bytes | None, original_bytes: int) -> None:
        if compressed is not None:
            self._frames.append(len(compressed))
            self._originals.append(original_bytes)


class _Compressors(threading.local):
    """The compressor of each thread: none serves two at once."""

    def __init__(self, level: int | None) -> None:
        self.are_used = level is not None
        self._compressor: Any = None
        if level is not None:
            import zstandard

            self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return one frame."""
        return bytes(self._compressor.compress(data))


def _give_back(made: _Made) -> None:
    give_back(_POOL, made.buffer, made.view)
