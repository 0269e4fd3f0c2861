"""The bytes of all samples: a fixed, seekable, incompressible stream for each file.

Content version 1: AES-128 in counter mode over zeros. The key is the first 16 bytes of
SHA-256("cm4storage content 1 seed S"); the counter block starts at split * 2**120 +
file number * 2**64. A file's stream depends on seed, split and file number alone.

It is computed by AES-GCM, whose ciphertext is the same stream: with an initial value of 12 bytes
it starts at block 2 of those whose counter begins with them, and ends with the counter's last 32
bits (NIST SP 800-38D, 7.1). OpenSSL does GCM with AVX-512, plain counter mode without, at half the
speed. The two blocks that are missing at the start of each 2**32 are encrypted one by one.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB, GCM

from cm4storage.core.units import KIB
from cm4storage.dataset.identity import CONTENT_SEED, CONTENT_VERSION
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from cm4storage.workload.plan import PlannedFile

BLOCK_BYTES: Final = 16
SPAN_BYTES: Final = BLOCK_BYTES << 32
"""After so many bytes GCM needs another initial value."""

# As long as what is filled at a time: between two calls another thread may take the interpreter.
_ZEROS = memoryview(bytes(512 * KIB))
_SPLIT_NUMBERS = {Split.TRAIN: 0, Split.EVAL: 1}
_HEAD_BYTES = 2 * BLOCK_BYTES


class _Keys(threading.local):
    """The keys of this thread, by seed: setting one up costs as much as a small file."""

    def __init__(self) -> None:
        self._by_seed: dict[int, _Key] = {}

    def of(self, seed: int) -> _Key:
        if seed not in self._by_seed:
            self._by_seed[seed] = _Key(seed)
        return self._by_seed[seed]


class _Key:
    def __init__(self, seed: int) -> None:
        text = f"cm4storage content {CONTENT_VERSION} seed {seed}"
        self._key = AES(hashlib.sha256(text.encode()).digest()[:16])
        self._blocks = Cipher(self._key, ECB()).encryptor()

    def head(self, counter: int) -> memoryview:
        """Return the blocks of `counter`, the first of a span, and of the next one."""
        plain = (counter << 128) + counter + 1
        return memoryview(self._blocks.update(plain.to_bytes(_HEAD_BYTES, "big")))

    def after_head(self, counter: int) -> Any:
        """Return the cipher of all blocks of the span of `counter` that follow its head."""
        return Cipher(self._key, GCM(counter.to_bytes(BLOCK_BYTES, "big")[:12])).encryptor()

    def within(self, counter: int) -> Any:
        """Return the cipher of the blocks from any `counter` on."""
        return Cipher(self._key, CTR(counter.to_bytes(BLOCK_BYTES, "big"))).encryptor()


_KEYS = _Keys()


class FileContent:
    """The stream of one file. An instance serves the thread that made it.

    Parameters
    ----------
    file : PlannedFile
    seed : int
    start : int
        The first byte that is wanted, a multiple of `BLOCK_BYTES`.

    Attributes
    ----------
    number : int
        The file's number within its split.
    """

    def __init__(self, file: PlannedFile, seed: int = CONTENT_SEED, *, start: int = 0) -> None:
        self.number = file.index
        self._key = _KEYS.of(seed)
        self._first = (_SPLIT_NUMBERS[file.split] << 120) + (file.index << 64)
        self._position = start
        self._cipher: Any = None
        if start % SPAN_BYTES:
            self._cipher = self._key.within(self._first + start // BLOCK_BYTES)

    def fill(self, buffer: memoryview) -> None:
        """Write the next ``len(buffer)`` bytes of the stream into `buffer`."""
        at = 0
        while at < len(buffer):
            in_span = self._position % SPAN_BYTES
            if in_span < _HEAD_BYTES:
                count = self._copy_head(buffer[at:], in_span)
            else:
                count = min(len(buffer) - at, len(_ZEROS), SPAN_BYTES - in_span)
                self._cipher.update_into(_ZEROS[:count], buffer[at : at + count])
            at += count
            self._position += count

    def _copy_head(self, buffer: memoryview, in_span: int) -> int:
        counter = self._first + (self._position - in_span) // BLOCK_BYTES
        part = self._key.head(counter)[in_span : in_span + len(buffer)]
        buffer[: len(part)] = part
        self._cipher = self._key.after_head(counter)
        return len(part)
