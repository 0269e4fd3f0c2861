"""The Plan: names, shapes and order of all files, computed from a Workload and never listed.

Names and order are computed by index, so that a million files take no memory; sizes that vary are
drawn one after the other and take eight bytes a file.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

SIZE_SEED = 10
"""DLIO draws all sample sizes from this seed, on every rank (``data_generator.py``)."""

_CSV_SUFFIXES = {"gzip": ".gz", "bz2": ".bz2", "zip": ".zip", "xz": ".xz"}
_DRAWS_AT_ONCE = 65536
_EXACT_FILES = 10**6


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
        Dimensions of one sample: ``record_dims``, or rows and columns.
    samples : int
        Number of samples in the file.
    """

    split: Split
    index: int
    key: str
    record_shape: tuple[int, ...]
    samples: int


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
        number, padded to the width of that number. With ``parquet.partition_by`` the folder's name
        is that column's name and value, as Hive has it.
        """
        return self.keys(split)(index)

    def keys(self, split: Split) -> Callable[[int], str]:
        """Return the function from a file's number to its name; see `key`."""
        count, folders = self.count(split), self._subfolders(split)
        width, folder_width = len(str(count)), len(str(folders))
        start, column, folder = self.dataset.file_prefix, self._partition_column, split.value
        end = f"_of_{count}.{self.dataset.format}{self._suffix}"
        if folders > 1 or column:
            start, folders = f"/{start}", max(1, folders)
            before = f"{folder}/{column}=" if column else f"{folder}/"
            return lambda index: (
                f"{before}{index % folders:0{folder_width}d}{start}_{index:0{width}d}{end}"
            )
        # Asked for each read: zfill is faster than a format of computed width.
        return lambda index: f"{folder}/{start}_{str(index).zfill(width)}{end}"

    @property
    def _suffix(self) -> str:
        """What DLIO appends for compressed csv (``csv_generator.py``)."""
        return _CSV_SUFFIXES.get(self.dataset.compression, "") if self._is_csv else ""

    @property
    def _partition_column(self) -> str | None:
        return self.dataset.parquet_partition_by if self.dataset.format == "parquet" else None

    @property
    def _is_csv(self) -> bool:
        return self.dataset.format == "csv"

    def _subfolders(self, split: Split) -> int:
        train = split is Split.TRAIN
        return self.dataset.num_subfolders_train if train else self.dataset.num_subfolders_eval

    def files(self) -> Iterator[PlannedFile]:
        """Yield all files in the order of their keys, which is the order of listings.

        Without sub-folders that is the order of the numbers.
        """
        return self._files_in(self.in_key_order)

    def files_by_number(self) -> Iterator[PlannedFile]:
        """Yield all files of one split after the other in the order of their numbers."""
        return self._files_in(lambda split: range(self.count(split)))

    def _files_in(self, order: Callable[[Split], Iterable[int]]) -> Iterator[PlannedFile]:
        shapes = self.shapes()
        for split in Split:
            before = 0 if split is Split.TRAIN else self.count(Split.TRAIN)
            key = self.keys(split)
            for index in order(split):
                yield PlannedFile(
                    split,
                    index,
                    key(index),
                    shapes(before + index),
                    self.dataset.num_samples_per_file,
                )

    def in_key_order(self, split: Split) -> Iterator[int]:
        """Yield the numbers of a split's files in the order of their keys."""
        folders = max(1, self._subfolders(split))
        for folder in range(folders):
            yield from range(folder, self.count(split), folders)

    def shapes(self) -> Callable[[int], tuple[int, ...]]:
        """Return the function from a file's number to the dimensions of its samples.

        Numbers count all files, training files first. With a deviation, the sizes of all files
        are held, eight bytes a file: they are drawn one after the other.

        Source: ``get_dimension`` in dlio_benchmark's ``utils/config.py``: both are normal around
        int(sqrt(record_length)) with deviation stdev / 2 / sqrt(record_length), drawn for all
        files at once, two each, from seed 10; 1 at least.
        """
        side, dims = self._side, self.dataset.sample_dims
        if dims or self.dataset.record_length_bytes_stdev == 0:
            fixed = dims or (side, side)
            return lambda _number: fixed
        import numpy as np

        drawn = np.concatenate(list(self._draw(self._files)))

        def shape(number: int) -> tuple[int, int]:
            return int(drawn[number, 0]), int(drawn[number, 1])

        return shape

    @property
    def _side(self) -> int:
        return int(math.sqrt(self.dataset.record_length_bytes))

    @property
    def _files(self) -> int:
        return sum(self.count(split) for split in Split)

    def _draw(self, files: int) -> Iterator[npt.NDArray[np.uint32]]:
        """Yield rows and columns of the first `files` files, some thousands at a time."""
        import numpy as np

        generator = np.random.RandomState(SIZE_SEED)
        length = self.dataset.record_length_bytes
        side_stdev = self.dataset.record_length_bytes_stdev / 2.0 / math.sqrt(length)
        for start in range(0, files, _DRAWS_AT_ONCE):
            count = min(_DRAWS_AT_ONCE, files - start)
            draws = generator.normal(self._side, side_stdev, (count, 2))
            yield np.clip(draws, 1, 2**32 - 1).astype(np.uint32)

    def payload_bytes(self) -> int:
        """Return the size of all samples of all files, without the formats' headers.

        Exact for up to a million files; beyond, the first million stand for all.
        """
        return round(self._mean_items() * self._files * self.dataset.num_samples_per_file) * (
            self.dataset.item_bytes
        )

    def _mean_items(self) -> float:
        """Return the mean number of elements of a sample."""
        files = self._files
        if self.dataset.sample_dims:
            return float(math.prod(self.dataset.sample_dims))
        if self.dataset.record_length_bytes_stdev == 0:
            return float(self._side**2)
        drawn = min(files, _EXACT_FILES)
        sizes = (part[:, 0].astype(float) @ part[:, 1] for part in self._draw(drawn))
        return sum(float(size) for size in sizes) / drawn
