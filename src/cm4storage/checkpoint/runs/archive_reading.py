"""Read a whole file of a checkpoint as ``torch.load`` would, and compare it with its own checksums.

The file need not be ours: any archive of ``torch.save`` has the CRC-32 of its entries in it. All
bytes are read, in order, a few blocks at a time, whatever the size.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from isal.isal_zlib import crc32

from cm4storage.checkpoint.encoding import BLOCK_BYTES, Encoding
from cm4storage.checkpoint.in_order import in_order
from cm4storage.checkpoint.restoring import DamagedCheckpoint
from cm4storage.core.units import MIB
from cm4storage.storage.buffers import BufferPool, give_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.checkpoint.models.layout import CheckpointFile
    from cm4storage.storage.buffers import Buffer
    from cm4storage.storage.store import Store

_POOL: Final = BufferPool(64 * MIB)
_LOCAL_BYTES: Final = 30
_LENGTHS: Final = struct.Struct("<HH")
_LENGTHS_AT: Final = 26
_TAIL_BYTES: Final = 64 * 1024


def read_archive(
    store: Store,
    key: str,
    file: CheckpointFile,
    *,
    threads: int = 0,
    note: Callable[[int], None],
) -> int:
    """Read one file whole; return its length.

    Parameters
    ----------
    store : Store
    key : str
    file : CheckpointFile
        What should be in it.
    threads : int
        That read; 0: as many as there are processors, at most 4.
    note : callable
        Called with the number of bytes of each block that has been read and compared.

    Raises
    ------
    DamagedCheckpoint
        If something else is in it; names the tensor.
    StorageFault
        If the storage fails.
    """
    where = f"{store.uri}/{key}"
    length = store.stat(key).size_bytes
    checker = _Checker(_entries(store, key, length, where), file, where)
    blocks = range(0, length, BLOCK_BYTES)

    def read(begin: int) -> tuple[Buffer, memoryview]:
        size = min(BLOCK_BYTES, length - begin)
        buffer = _POOL.acquire(size)
        view = buffer.view(size)
        if store.read_into(key, view, start=begin) != size:
            raise _damaged("it became shorter while it was read", where)
        return buffer, view

    threads = threads or Encoding().threads
    with in_order(read, blocks, threads=threads, drop=lambda got: give_back(_POOL, *got)) as got:
        for buffer, view in got:
            checker.feed(view)
            note(view.nbytes)
            give_back(_POOL, buffer, view)
    checker.require_end()
    return length


@dataclass(frozen=True)
class _Entry:
    """One entry of the archive: where it begins, its data's length and CRC-32, and its tensor."""

    name: str
    offset: int
    size_bytes: int
    crc32: int


def _entries(store: Store, key: str, length: int, where: str) -> list[_Entry]:
    """Return the entries in the order in which they stand in the file."""
    try:
        with zipfile.ZipFile(io.BufferedReader(_Tail(store, key, length), _TAIL_BYTES)) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError) as error:
        raise _damaged(f"it has no directory at its end: {error}", where) from error
    entries = [_Entry(i.filename, i.header_offset, i.file_size, i.CRC) for i in found]
    if any(info.compress_type != zipfile.ZIP_STORED for info in found):
        raise _damaged("its entries are compressed, which torch.save never does", where)
    return sorted(entries, key=lambda entry: entry.offset)


class _Tail(io.RawIOBase):
    """The end of an object, as a file to seek in."""

    def __init__(self, store: Store, key: str, length: int) -> None:
        super().__init__()
        self._store, self._key, self._length = store, key, length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._length - self._position))
        if size == 0:
            return 0
        count = self._store.read_into(self._key, memoryview(buffer)[:size], start=self._position)
        self._position += count
        return count


class _Checker:
    """Follows the bytes of an archive in order, and compares each entry."""

    def __init__(self, entries: list[_Entry], file: CheckpointFile, where: str) -> None:
        self._entries = entries
        self._names = _names(entries, file, where)
        self._where = where
        self._next = 0
        self._position = 0
        self._header = bytearray()
        self._data_begin: int | None = None
        self._crc32 = 0

    def feed(self, block: memoryview) -> None:
        """Take the next bytes of the file."""
        end = self._position + block.nbytes
        while self._position < end and self._next < len(self._entries):
            rest = block[block.nbytes - (end - self._position) :]
            take = self._take_header if self._data_begin is None else self._take_data
            self._position += take(rest)
        self._position = end  # what follows is the directory, which has been read

    def require_end(self) -> None:
        """Refuse a file that ended before its last entry."""
        if self._next < len(self._entries):
            raise _damaged(f"it ends in {self._names[self._next]}", self._where)

    def _take_header(self, rest: memoryview) -> int:
        """Take what is before an entry, and its header's fixed part; return how much that was."""
        entry = self._entries[self._next]
        if self._position < entry.offset:
            return min(entry.offset - self._position, rest.nbytes)
        count = min(_LOCAL_BYTES - len(self._header), rest.nbytes)
        self._header += rest[:count]
        if len(self._header) == _LOCAL_BYTES:
            lengths = _LENGTHS.unpack_from(self._header, _LENGTHS_AT)
            self._data_begin = entry.offset + _LOCAL_BYTES + sum(lengths)
        return count

    def _take_data(self, rest: memoryview) -> int:
        """Take what is before an entry's data, or of the data; return how much that was."""
        entry = self._entries[self._next]
        begin = self._data_begin or 0
        if self._position < begin:
            return min(begin - self._position, rest.nbytes)
        count = min(begin + entry.size_bytes - self._position, rest.nbytes)
        self._crc32 = crc32(rest[:count], self._crc32)
        if self._position + count == begin + entry.size_bytes:
            self._end_entry(entry)
        return count

    def _end_entry(self, entry: _Entry) -> None:
        if self._crc32 != entry.crc32:
            name = self._names[self._next]
            raise _damaged(f"{name} is not as it was written: its CRC-32 differs", self._where)
        self._next += 1
        self._header.clear()
        self._data_begin, self._crc32 = None, 0


def _names(entries: list[_Entry], file: CheckpointFile, where: str) -> list[str]:
    """Return what each entry is, having compared the tensors' sizes with what should be there."""
    names, found = [], {}
    for entry in entries:
        *_, folder, last = ("", *entry.name.split("/"))
        is_tensor = folder == "data" and last.isdecimal() and int(last) < len(file.tensors)
        if is_tensor:
            found[int(last)] = entry.size_bytes
        names.append(f"tensor {file.tensors[int(last)].name!r}" if is_tensor else entry.name)
    wanted = {number: tensor.size_bytes for number, tensor in enumerate(file.tensors)}
    if found != wanted:
        raise DamagedCheckpoint(
            f"the checkpoint is another one: it has {len(found)} tensors of "
            f"{sum(found.values()):,} bytes, and the workload's has {len(wanted)} of "
            f"{sum(wanted.values()):,}",
            where=where,
            meaning="it was written by another workload or number of ranks",
            advice="write it again, or name its own workload and --ranks",
        )
    return names


def _damaged(what: str, where: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(
        f"the checkpoint is damaged: {what}",
        where=where,
        meaning="it was cut off or changed, or the storage does not return what was stored",
        advice="write it again, and look for the cause: memory, disk or network",
    )
