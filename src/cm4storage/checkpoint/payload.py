"""Where the bytes of a checkpoint come from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.checkpoint.tensors import Tensor


class Payload(Protocol):
    """The tensors of one file and their data.

    `fill` may be called from several threads at once, in any order, and again.
    """

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All tensors, in the order in which they are written."""

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        """Write the bytes of tensor `number` from byte `start` on into all of `buffer`."""


_CONTENT_VERSION: Final = 1
_BLOCK_BYTES: Final = 16
# Small enough to stay in a core's cache, long enough to be worth a call.
_ZEROS: Final = memoryview(bytes(MIB // 4))


class GeneratedPayload:
    """Incompressible data that depend on seed, rank, step and place alone.

    Content version 1: AES-128 in counter mode over zeros. The key is the first 16 bytes of
    SHA-256("cm4storage checkpoint 1 seed S rank R step N"); the counter block starts at tensor
    number * 2**64.

    Parameters
    ----------
    tensors : sequence of Tensor
    seed, rank, step : int
    """

    def __init__(
        self, tensors: Sequence[Tensor], *, seed: int = 0, rank: int = 0, step: int = 0
    ) -> None:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES

        self.tensors = tensors
        text = f"cm4storage checkpoint {_CONTENT_VERSION} seed {seed} rank {rank} step {step}"
        self._key = AES(hashlib.sha256(text.encode()).digest()[:16])

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        """Write a part of the stream of tensor `number`; see `Payload.fill`."""
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.modes import CTR

        blocks, skipped = divmod(start, _BLOCK_BYTES)
        counter = ((number << 64) + blocks).to_bytes(_BLOCK_BYTES, "big")
        cipher = Cipher(self._key, CTR(counter)).encryptor()
        if skipped:
            cipher.update(bytes(skipped))
        for at in range(0, buffer.nbytes, _ZEROS.nbytes):
            part = buffer[at : at + _ZEROS.nbytes]
            cipher.update_into(_ZEROS[: part.nbytes], part)


class OnesPayload:
    """Each element is one: what DLIO writes where its tensors are not random."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        """Write a part of tensor `number`; see `Payload.fill`."""
        pattern = _ONES[self.tensors[number].dtype]
        skipped = start % len(pattern)
        length = buffer.nbytes
        times = -(-(length + skipped) // len(pattern))
        buffer[:] = (pattern * times)[skipped : skipped + length]


_ONES: Final = {
    "BOOL": b"\x01",
    "U8": b"\x01",
    "I8": b"\x01",
    "U16": b"\x01\x00",
    "I16": b"\x01\x00",
    "F16": b"\x00\x3c",
    "BF16": b"\x80\x3f",
    "U32": b"\x01\x00\x00\x00",
    "I32": b"\x01\x00\x00\x00",
    "F32": b"\x00\x00\x80\x3f",
    "U64": b"\x01" + bytes(7),
    "I64": b"\x01" + bytes(7),
    "F64": b"\x00\x00\x00\x00\x00\x00\xf0\x3f",
}
