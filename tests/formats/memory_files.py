"""Files in memory, and content that is known."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from dataclasses import dataclass

from cm4storage.formats.format import HasCompanions
from cm4storage.storage.store import MissingObject

KEY = "train/img_0_of_8.dat"


class KnownContent:
    """A stream of pseudo-random bytes, the same each time."""

    number = 3

    def __init__(self) -> None:
        self._counter = 0
        self._rest = b""

    def fill(self, buffer):
        while len(self._rest) < len(buffer):
            self._rest += hashlib.shake_128(str(self._counter).encode()).digest(4096)
            self._counter += 1
        buffer[:] = self._rest[: len(buffer)]
        self._rest = self._rest[len(buffer) :]


class MemorySource:
    """A `Source` over bytes that counts what is read; `siblings` are bytes by suffix."""

    name = "memory"

    def __init__(self, data, siblings=None) -> None:
        self._data = None if data is None else memoryview(data)
        self._siblings = siblings or {}
        self.bytes_read = 0
        self.largest_read_bytes = 0
        self.scatters = 0

    @contextlib.contextmanager
    def read(self, start, length):
        data = self._held()
        end = len(data) if length is None else start + length
        view = data[start:end]
        self._count(len(view))
        yield view

    def scatter(self, start, buffers):
        data, at = self._held(), start
        self.scatters += 1
        for buffer in buffers:
            part = data[at : at + len(buffer)]
            buffer[: len(part)] = part
            at += len(part)
        self._count(at - start)
        return at - start

    def size_bytes(self):
        return len(self._held())

    def sibling(self, suffix):
        source = MemorySource(self._siblings.get(suffix))
        source.name = self.name + suffix
        return source

    def _held(self):
        if self._data is None:
            raise MissingObject("there is no such file", where=self.name)
        return self._data

    def _count(self, size_bytes):
        self.bytes_read += size_bytes
        self.largest_read_bytes = max(self.largest_read_bytes, size_bytes)


def encode(file_format, shape):
    """Return the bytes of a whole file."""
    return b"".join(bytes(part) for part in file_format.encode(shape, KnownContent()))


def companions(file_format, shape):
    """Return the bytes of the files that belong to it, by suffix where that is all they add."""
    if not isinstance(file_format, HasCompanions):
        return {}
    made = file_format.companions(KEY, shape)
    return {each.key.removeprefix(KEY): each.content for each in made}


@dataclass(frozen=True)
class Made:
    """A file that a format made, what belongs to it, and what the format read of it."""

    data: bytes
    siblings: dict[str, bytes]
    samples: list[bytes]

    @property
    def files(self):
        """Return the bytes of all files, by suffix."""
        return {"": self.data} | self.siblings


@functools.cache
def made(case, shape):
    """Return the file of a row of the contract: made once for all that only reads it."""
    file_format = case.make(shape)
    data, siblings = encode(file_format, shape), companions(file_format, shape)
    read = file_format.decode(MemorySource(data, siblings))
    return Made(data, siblings, [bytes(sample) for sample in read])
