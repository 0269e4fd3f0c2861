"""A shuffle that is computed by index: no array, whatever the number of items.

A Feistel network over the smallest even number of bits that holds the items, walked until it falls
inside (cycle walking), is a bijection of ``range(size)``: Black and Rogaway, "Ciphers with
Arbitrary Finite Domains", 2002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import sha256

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ROUNDS = 6
_SCALAR_BELOW = 48


class Permutation:
    """A pseudo-random bijection of ``range(size)``, the same on every machine.

    Parameters
    ----------
    size : int
        Number of items.
    *key : int
        Seed, epoch and whatever else tells this permutation from others.
    """

    def __init__(self, size: int, *key: int) -> None:
        self.size = size
        self._half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        seed = sha256(repr(key).encode()).digest()
        self._round_keys = [
            int.from_bytes(seed[4 * i : 4 * i + 4], "little") | 1 for i in range(_ROUNDS)
        ]

    def __call__(self, index: int) -> int:
        """Return where `index` goes.

        Raises
        ------
        IndexError
            If `index` is not in ``range(size)``.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"{index} is not below {self.size}")
        value = self._encrypt(index)
        while value >= self.size:
            value = self._encrypt(value)
        return value

    def images(self) -> list[int]:
        """Return where each of ``range(size)`` goes."""
        if self.size < _SCALAR_BELOW:
            return [self(index) for index in range(self.size)]
        import numpy as np

        images: list[int] = self.many(np.arange(self.size)).tolist()
        return images

    def many(self, indices: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """Return where each of `indices` goes; a few tenths of a microsecond for each.

        Raises
        ------
        IndexError
            If one is not in ``range(size)``.
        """
        import numpy as np

        values = np.asarray(indices, np.uint64)
        if values.size and int(values.max()) >= self.size:
            raise IndexError(f"{int(values.max())} is not below {self.size}")
        values = self._encrypt_many(values)
        while (outside := np.flatnonzero(values >= self.size)).size:
            values[outside] = self._encrypt_many(values[outside])
        return values.astype(np.int64)

    def _encrypt_many(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        import numpy as np

        half, mask, low = np.uint64(self._half_bits), np.uint64(self._mask), np.uint64(0xFFFFFFFF)
        left, right = values >> half, values & mask
        for key in self._round_keys:
            mixed = (right * np.uint64(0x9E3779B1) + np.uint64(key)) & low
            mixed = ((mixed ^ (mixed >> np.uint64(15))) * np.uint64(0x85EBCA6B)) & low
            left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(13))) & mask)
        return (left << half) | right

    def _encrypt(self, value: int) -> int:
        left, right = value >> self._half_bits, value & self._mask
        for key in self._round_keys:
            mixed = (right * 0x9E3779B1 + key) & 0xFFFFFFFF
            mixed = ((mixed ^ (mixed >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & self._mask)
        return (left << self._half_bits) | right
