"""The order in which an epoch reads files and samples.

``seed`` and ``random`` really shuffle: files by a permutation of all files, samples by a
permutation within blocks of ``reader.shuffle_size`` samples of a file (what a shuffle buffer of
that size can reach). ``seed`` is the same on every run with the same ``train.seed``; ``random``
differs on each run. With ``seed_change_epoch`` every epoch has an order of its own.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from cm4storage.core.canonical import sha256
from cm4storage.core.records import dataclass, field
from cm4storage.workload.permutation import Permutation
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from cm4storage.workload.model import Workload
    from cm4storage.workload.setting import Shuffle

_FILES, _SAMPLES = 1, 2
_FILES_AT_ONCE = 1024
_DIGESTED_AT_ONCE = 65536


NO_FILE = -1
"""The number of no file: the places of such a read are filled without reading."""


class FileRead(NamedTuple):
    """One file to be read.

    Attributes
    ----------
    file_index : int
        The file's number, or `NO_FILE`.
    places : iterable of int
        For each sample of the file, in order, its place in the epoch. It ends early where no later
        sample is wanted; a place that is not wanted may be in it.
    first, last : int
        The lowest and the highest place that it can hold.
    """

    file_index: int
    places: Iterable[int]
    first: int
    last: int


@dataclass(frozen=True)
class Share:
    """The reads of one of several readers: every `of`-th run of `run` reads, from `number` on.

    Attributes
    ----------
    number, of, run : int
    """

    number: int = 0
    of: int = 1
    run: int = 1

    def positions(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return which of the reads from the `start`-th to before the `stop`-th are its own."""
        positions: npt.NDArray[np.int64] = np.arange(start, stop)
        if self.of == 1:
            return positions
        own: npt.NDArray[np.bool_] = positions // self.run % self.of == self.number
        return positions[own]

    def pick(self, reads: Iterator[FileRead]) -> Iterator[FileRead]:
        """Yield its own of all `reads`."""
        if self.of == 1:
            yield from reads
            return
        for position, read in enumerate(reads):
            if position // self.run % self.of == self.number:
                yield read


WHOLE: Final = Share()


class EpochOrder(Protocol):
    """What the readers ask of the order of one epoch."""

    samples_per_file: int

    def reads(self, wanted: int, share: Share = WHOLE) -> Iterator[FileRead]:
        """Yield a share of the reads that fill the first `wanted` places, in about their order.

        The places of one read lie close together; every place is filled exactly once.
        """

    def ids(self, wanted: int) -> Iterator[int]:
        """Yield the samples at the first `wanted` places, as file number * samples + sample."""

    def digest(self) -> str:
        """Return a digest of the order."""


@dataclass(frozen=True)
class RunOrder:
    """The orders of all epochs of one run."""

    workload: Workload
    entropy: int = field(default_factory=lambda: int.from_bytes(os.urandom(8), "little"))
    split: Split = Split.TRAIN

    def epoch(self, number: int) -> ShuffledOrder:
        """Return the order of epoch `number`, counted from 1."""
        return ShuffledOrder(
            self.workload, self._file_key(number), self._sample_key(number), self.split
        )

    def _file_key(self, number: int) -> tuple[int, ...] | None:
        reader = self.workload.reader
        mode = reader.file_shuffle
        if mode == "off" and self.workload.dataset.num_samples_per_file == 1:
            mode = reader.sample_shuffle
        return self._key(mode, _FILES, number)

    def _sample_key(self, number: int) -> tuple[int, ...] | None:
        return self._key(self.workload.reader.sample_shuffle, _SAMPLES, number)

    def _key(self, mode: Shuffle, kind: int, number: int) -> tuple[int, ...] | None:
        if mode == "off":
            return None
        train = self.workload.train
        epoch = number if train.seed_change_epoch else 0
        seed = train.seed if mode == "seed" else self.entropy
        return (kind, seed, epoch) if self.split is Split.TRAIN else (kind, seed, epoch, 1)


class ShuffledOrder:
    """Files in the order of a permutation, samples by permutations within blocks of a file."""

    def __init__(
        self,
        workload: Workload,
        file_key: tuple[int, ...] | None,
        sample_key: tuple[int, ...] | None,
        split: Split = Split.TRAIN,
    ) -> None:
        dataset = workload.dataset
        self.files = Plan.of(workload).count(split)
        self.samples_per_file = dataset.num_samples_per_file
        self.block = max(1, min(workload.reader.shuffle_size or 1, self.samples_per_file))
        self._file_key = file_key
        self._sample_key = sample_key if self.block > 1 else None
        self._permutation = Permutation(self.files, *file_key) if file_key is not None else None

    def reads(self, wanted: int, share: Share = WHOLE) -> Iterator[FileRead]:
        """Yield the reads of one file after the other; see `EpochOrder.reads`."""
        per_file = self.samples_per_file
        files = math.ceil(wanted / per_file)
        at_once = _FILES_AT_ONCE * share.of
        for start in range(0, files, at_once):
            positions = share.positions(start, min(start + at_once, files))
            indices = _file_numbers(self._permutation, positions).tolist()
            for position, index in zip(positions.tolist(), indices, strict=True):
                first = position * per_file
                places = self._places(index, first, wanted)
                yield FileRead(index, places, first, first + per_file - 1)

    def _places(self, index: int, first: int, wanted: int) -> Iterable[int]:
        end = first + self.samples_per_file
        if self._sample_key is None:
            return range(first, min(end, wanted))
        return _ShuffledPlaces((*self._sample_key, index), range(first, end), self.block, wanted)

    def ids(self, wanted: int) -> Iterator[int]:
        """Yield the first `wanted` samples of the epoch; see `EpochOrder.ids`."""
        per_file = self.samples_per_file
        for read in self.reads(wanted):
            numbers = range(read.file_index * per_file, (read.file_index + 1) * per_file)
            by_place = sorted(zip(read.places, numbers, strict=False))
            yield from (number for place, number in by_place if place < wanted)

    def digest(self) -> str:
        """Return a digest of the order of all files and the key of the samples' order."""
        return _digest(self.files, self._file_key, self._sample_key, self.block)


def _file_numbers(
    permutation: Permutation | None, positions: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the numbers of the files that are read at some positions."""
    return positions if permutation is None else permutation.many(positions)


@lru_cache(maxsize=4)  # most runs have one order, or another in each epoch
def _digest(
    files: int, file_key: tuple[int, ...] | None, sample_key: tuple[int, ...] | None, block: int
) -> str:
    permutation = Permutation(files, *file_key) if file_key is not None else None
    hasher = sha256(repr((sample_key, block)).encode())
    for start in range(0, files, _DIGESTED_AT_ONCE):
        positions = WHOLE.positions(start, min(start + _DIGESTED_AT_ONCE, files))
        numbers = _file_numbers(permutation, positions)
        hasher.update(numbers.astype("<u8").tobytes())
    return hasher.hexdigest()


class _ShuffledPlaces:
    """The places of one file's samples, permuted within blocks; computed block by block."""

    def __init__(self, key: tuple[int, ...], places: range, block: int, wanted: int) -> None:
        self._key = key
        self._places = places
        self._block = block
        self._wanted = wanted

    def __iter__(self) -> Iterator[int]:
        first, samples = self._places.start, len(self._places)
        for start in range(0, samples, self._block):
            if first + start >= self._wanted:
                return
            size = min(self._block, samples - start)
            for image in Permutation(size, *self._key, start).images():
                yield first + start + image
