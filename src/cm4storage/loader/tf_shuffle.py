"""What TensorFlow's ``tf.data`` makes of an order: its interleaving, and its shuffle by a buffer.

Facts: ``random_seed.py``, ``philox_random.h``, ``shuffle_dataset_op.cc`` and
``parallel_interleave_dataset_op.cc`` of TensorFlow; J. K. Salmon et al., "Parallel random numbers:
as easy as 1, 2, 3" (2011), for the generator Philox 4x32-10.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

GRAPH_SEED = 87654321
"""TensorFlow's own half of the seed where a program sets none for all operations."""

_SEEDS = 2**31 - 1
_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_BLOCKS_AT_ONCE = 1024


def shuffled(numbers: Iterable[int], buffer_size: int, seeds: tuple[int, int]) -> Iterator[int]:
    """Yield `numbers` as ``Dataset.shuffle(buffer_size)`` does in an iteration of these seeds.

    The buffer is filled; of its elements one is drawn, the oldest takes its place, and the next
    number comes in as the newest.
    """
    source, draws = iter(numbers), random_words(*seeds)
    buffer = list(islice(source, buffer_size))
    size, oldest = len(buffer), 0
    for number in source:
        drawn = oldest + next(draws) % size
        drawn -= size if drawn >= size else 0
        yield buffer[drawn]
        buffer[drawn], buffer[oldest] = buffer[oldest], number
        oldest = oldest + 1 if oldest + 1 < size else 0
    ordered = buffer[oldest:] + buffer[:oldest]
    for first in range(size):
        drawn = first + next(draws) % (size - first)
        yield ordered[drawn]
        ordered[drawn] = ordered[first]


def iteration_seeds(seed: int, iteration: int) -> tuple[int, int]:
    """Return the seeds of the `iteration`-th iteration, from 0, over a dataset that is shuffled.

    Each iteration over ``Dataset.shuffle(seed=seed)`` takes two words of a generator of its own.
    """
    words = islice(random_words(GRAPH_SEED, seed % _SEEDS), 2 * iteration, 2 * iteration + 2)
    first, second = words
    return first, second


def random_words(seed: int, seed2: int) -> Iterator[int]:
    """Yield the 32-bit words of TensorFlow's ``PhiloxRandom(seed, seed2)``."""
    start = 0
    while True:
        blocks = np.arange(start, start + _BLOCKS_AT_ONCE, dtype=np.uint64)
        yield from _philox(blocks, seed, seed2).ravel().tolist()
        start += _BLOCKS_AT_ONCE


def _philox(blocks: npt.NDArray[np.uint64], seed: int, seed2: int) -> npt.NDArray[np.uint64]:
    """Return four words for each number of a block: Philox 4x32 of ten rounds."""
    word, half = np.uint64(_WORD), np.uint64(32)
    high_seed = np.full_like(blocks, seed2 & _WORD), np.full_like(blocks, seed2 >> 32 & _WORD)
    c0, c1, (c2, c3) = blocks & word, blocks >> half, high_seed
    keys = [seed & _WORD, seed >> 32 & _WORD]
    for _ in range(_ROUNDS):
        product0, product1 = np.uint64(_MULTIPLIERS[0]) * c0, np.uint64(_MULTIPLIERS[1]) * c2
        c0, c2 = (
            (product1 >> half) ^ c1 ^ np.uint64(keys[0]),
            (product0 >> half) ^ c3 ^ np.uint64(keys[1]),
        )
        c1, c3 = product1 & word, product0 & word
        keys = [(key + step) & _WORD for key, step in zip(keys, _KEY_STEPS, strict=True)]
    return np.stack((c0, c1, c2, c3), axis=1)
