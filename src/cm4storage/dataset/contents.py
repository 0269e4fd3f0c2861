"""The bytes of all samples: a fixed, seekable, incompressible stream for each file.

Content version 1: AES-128 in counter mode over zeros. The key is the first 16 bytes of
SHA-256("cm4storage content 1 seed S"); the counter block starts at split * 2**120 +
file number * 2**64. A file's stream depends on seed, split and file number alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from cm4storage.core.units import MIB
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from cm4storage.workload.plan import PlannedFile

CONTENT_VERSION = 1
CONTENT_SEED = 10
"""The seed of DLIO's own generator; MLPerf Storage's rules keep it fixed."""

_ZEROS = memoryview(bytes(MIB))
_SPLIT_NUMBERS = {Split.TRAIN: 0, Split.EVAL: 1}


class FileContent:
    """The stream of one file, from its first sample on."""

    def __init__(self, file: PlannedFile, seed: int = CONTENT_SEED) -> None:
        self.number = file.index
        text = f"cm4storage content {CONTENT_VERSION} seed {seed}"
        counter = (_SPLIT_NUMBERS[file.split] << 120) + (file.index << 64)
        key = hashlib.sha256(text.encode()).digest()[:16]
        self._cipher = Cipher(AES(key), CTR(counter.to_bytes(16, "big"))).encryptor()

    def fill(self, buffer: memoryview) -> None:
        """Write the next ``len(buffer)`` bytes of the stream into `buffer`."""
        for start in range(0, len(buffer), len(_ZEROS)):
            part = buffer[start : start + len(_ZEROS)]
            self._cipher.update_into(_ZEROS[: len(part)], part)
