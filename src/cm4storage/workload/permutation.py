"""A shuffle that is computed by index: no array, whatever the number of items.

A Feistel network over the smallest even number of bits that holds the items, walked until it falls
inside (cycle walking), is a bijection of ``range(size)``: Black and Rogaway, "Ciphers with
Arbitrary Finite Domains", 2002.
"""

from __future__ import annotations

import hashlib

_ROUNDS = 6


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
        seed = hashlib.sha256(repr(key).encode()).digest()
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

    def _encrypt(self, value: int) -> int:
        left, right = value >> self._half_bits, value & self._mask
        for key in self._round_keys:
            mixed = (right * 0x9E3779B1 + key) & 0xFFFFFFFF
            mixed = ((mixed ^ (mixed >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & self._mask)
        return (left << self._half_bits) | right
