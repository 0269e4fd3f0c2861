"""Files in memory, and content that is known."""

from __future__ import annotations

import contextlib
import hashlib

import pytest


class KnownContent:
    """A stream of pseudo-random bytes, the same each time."""

    def __init__(self) -> None:
        self._counter = 0
        self._rest = b""

    def fill(self, buffer):
        while len(self._rest) < len(buffer):
            self._rest += hashlib.sha512(str(self._counter).encode()).digest() * 64
            self._counter += 1
        buffer[:] = self._rest[: len(buffer)]
        self._rest = self._rest[len(buffer) :]


class MemorySource:
    """A `Source` over bytes that counts what is read."""

    name = "memory"

    def __init__(self, data) -> None:
        self._data = memoryview(data)
        self.bytes_read = 0
        self.largest_read_bytes = 0

    @contextlib.contextmanager
    def read(self, start, length):
        end = len(self._data) if length is None else start + length
        view = self._data[start:end]
        self.bytes_read += len(view)
        self.largest_read_bytes = max(self.largest_read_bytes, len(view))
        yield view


def encode(file_format, shape):
    """Return the bytes of a whole file."""
    return b"".join(bytes(part) for part in file_format.encode(shape, KnownContent()))


@pytest.fixture
def known_content():
    return KnownContent


@pytest.fixture
def memory_source():
    return MemorySource


@pytest.fixture(name="encode")
def encode_fixture():
    return encode
