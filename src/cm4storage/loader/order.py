"""The order in which an epoch reads files and samples.

``seed`` and ``random`` really shuffle: files by a permutation of all files, samples by a
permutation within blocks of ``reader.shuffle_size`` samples of a file (what a shuffle buffer of
that size can reach). ``seed`` is the same on every run with the same ``train.seed``; ``random``
differs on each run. With ``seed_change_epoch`` every epoch has an order of its own.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cm4storage.workload.permutation import Permutation

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import Shuffle

_FILES, _SAMPLES = 1, 2


@dataclass(frozen=True)
class RunOrder:
    """The orders of all epochs of one run."""

    workload: Workload
    entropy: int = field(default_factory=lambda: secrets.randbits(64))

    def epoch(self, number: int) -> EpochOrder:
        """Return the order of epoch `number`, counted from 1."""
        return EpochOrder(self.workload, self._file_key(number), self._sample_key(number))

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
        return (kind, seed, epoch)


class EpochOrder:
    """Which file stands where in one epoch, and which sample of it where within the file."""

    def __init__(
        self,
        workload: Workload,
        file_key: tuple[int, ...] | None,
        sample_key: tuple[int, ...] | None,
    ) -> None:
        dataset = workload.dataset
        self.files = dataset.num_files_train
        self.samples_per_file = dataset.num_samples_per_file
        self.block = max(1, min(workload.reader.shuffle_size or 1, self.samples_per_file))
        self._sample_key = sample_key if self.block > 1 else None
        self._file: Callable[[int], int] = (
            Permutation(self.files, *file_key) if file_key is not None else int
        )

    def earliest_place(self, number: int) -> int:
        """Return the first place that sample `number` of a file, or a later one, can have."""
        return number if self._sample_key is None else number - number % self.block

    def file_at(self, position: int) -> int:
        """Return the number of the file that is read as the `position`-th of the epoch."""
        return self._file(position)

    def places(self, file_index: int) -> Callable[[int], int]:
        """Return the function from a sample's number in its file to its place among them."""
        if self._sample_key is None:
            return int
        key, block, last = self._sample_key, self.block, self.samples_per_file
        blocks: dict[int, Permutation] = {}

        def place(number: int) -> int:
            start = number - number % block
            if start not in blocks:
                blocks.clear()
                blocks[start] = Permutation(min(block, last - start), *key, file_index, start)
            return start + blocks[start](number - start)

        return place

    def sample_ids(self, count: int) -> list[int]:
        """Return the first `count` samples of the epoch, as file number * samples + sample."""
        ids: list[int] = []
        for position in range(self.files):
            if len(ids) >= count:
                break
            ids.extend(self._ids_of(position, count - len(ids)))
        return ids[:count]

    def _ids_of(self, position: int, count: int) -> list[int]:
        file_index = self.file_at(position)
        place = self.places(file_index)
        reach = min(self.samples_per_file, count + self.block)
        by_place = sorted((place(number), number) for number in range(reach))
        return [file_index * self.samples_per_file + number for _, number in by_place[:count]]

    def digest(self) -> str:
        """Return a digest of the order of all files and the key of the samples' order."""
        hasher = hashlib.sha256(repr((self._sample_key, self.block)).encode())
        for position in range(self.files):
            hasher.update(self.file_at(position).to_bytes(8, "little"))
        return hasher.hexdigest()
