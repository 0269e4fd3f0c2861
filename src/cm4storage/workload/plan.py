"""The Plan: names, shapes and order of all files, computed from a Workload and never listed.

Memory does not grow with the number of files: everything is computed by index or streamed.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

SIZE_SEED = 10
"""DLIO draws all sample sizes from this seed, on every rank (``data_generator.py``)."""

_DRAWS_AT_ONCE = 65536


class Split(enum.Enum):
    """The two parts of a data set; the value is the folder's name."""

    TRAIN = "train"
    EVAL = "valid"


@dataclass(frozen=True)
class PlannedFile:
    """One file of the data set.

    Attributes
    ----------
    split : Split
    index : int
        Number of the file within its split, from 0.
    key : str
        Name below the data set's root, such as ``train/img_000_of_168.npz``.
    record_shape : tuple of int
        Rows and columns of one sample of uint8; one sample has rows * columns bytes.
    samples : int
        Number of samples in the file.
    """

    split: Split
    index: int
    key: str
    record_shape: tuple[int, int]
    samples: int

    @property
    def record_bytes(self) -> int:
        """The size of one sample in bytes."""
        return self.record_shape[0] * self.record_shape[1]


@dataclass(frozen=True)
class Plan:
    """Names and shapes of the files of one data set."""

    dataset: DatasetSection

    @classmethod
    def of(cls, workload: Workload) -> Plan:
        """Return the plan of a workload's data set."""
        return cls(workload.dataset)

    def count(self, split: Split) -> int:
        """Return the number of files in `split`."""
        train = split is Split.TRAIN
        return self.dataset.num_files_train if train else self.dataset.num_files_eval

    def key(self, split: Split, index: int) -> str:
        """Return the name of one file below the data set's root.

        Source: ``get_file_list`` and ``generate`` of dlio_benchmark: the number is padded to the
        width of the count; with more than one sub-folder, file i goes to folder i modulo their
        number, padded to the width of that number.
        """
        count = self.count(split)
        name = (
            f"{self.dataset.file_prefix}_{index:0{len(str(count))}d}_of_{count}"
            f".{self.dataset.format}"
        )
        folders = self._subfolders(split)
        if folders > 1:
            name = f"{index % folders:0{len(str(folders))}d}/{name}"
        return f"{split.value}/{name}"

    def _subfolders(self, split: Split) -> int:
        train = split is Split.TRAIN
        return self.dataset.num_subfolders_train if train else self.dataset.num_subfolders_eval

    def files(self) -> Iterator[PlannedFile]:
        """Yield all files, training files first, each split in the order of its numbers."""
        shapes = self._record_shapes()
        for split in Split:
            for index in range(self.count(split)):
                yield PlannedFile(
                    split,
                    index,
                    self.key(split, index),
                    next(shapes),
                    self.dataset.num_samples_per_file,
                )

    def _record_shapes(self) -> Iterator[tuple[int, int]]:
        """Yield rows and columns of the files' samples, as DLIO draws them.

        Source: ``get_dimension`` in dlio_benchmark's ``utils/config.py``: both are normal around
        int(sqrt(record_length)) with deviation stdev / 2 / sqrt(record_length), drawn for all
        files at once, two each, from seed 10; 1 at least.
        """
        total = sum(self.count(split) for split in Split)
        side = int(math.sqrt(self.dataset.record_length_bytes))
        stdev_bytes = self.dataset.record_length_bytes_stdev
        if stdev_bytes == 0:
            for _ in range(total):
                yield side, side
            return
        import numpy as np

        generator = np.random.RandomState(SIZE_SEED)
        side_stdev = stdev_bytes / 2.0 / math.sqrt(self.dataset.record_length_bytes)
        for start in range(0, total, _DRAWS_AT_ONCE):
            count = min(_DRAWS_AT_ONCE, total - start)
            draws = generator.normal(side, side_stdev, (count, 2))
            for rows, columns in draws.tolist():
                yield max(int(rows), 1), max(int(columns), 1)

    def payload_bytes(self) -> int:
        """Return the size of all samples of all files, without the formats' headers."""
        if self.dataset.record_length_bytes_stdev == 0:
            side = int(math.sqrt(self.dataset.record_length_bytes))
            files = sum(self.count(split) for split in Split)
            return files * self.dataset.num_samples_per_file * side * side
        return sum(file.record_bytes * file.samples for file in self.files())
