"""Reading HDF5 files of this and other writers: h5py says where the samples are.

DLIO of 2025 and later writes the datasets ``records_0`` to ``records_{k-1}``, each with a part of
every sample; before, there was one dataset ``records``. What a file could say and a plain one does
not is refused: links to other files, data in other files, and virtual datasets.
"""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.formats.damage import Damage
from cm4storage.formats.hdf5_frame import LABELS
from cm4storage.formats.npy_header import type_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.formats.hdf5_frame import Datasets

# DEFLATE makes at most this of a byte, and LZF less.
_LARGEST_EXPANSION = 1032


class ViewFile(io.RawIOBase):
    """A file object over memory that is lent."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it has positions."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        self._at = offset + (0, self._at, len(self._view))[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on."""
        part = self._view[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


@dataclass(frozen=True)
class Extent:
    """Where the data of a contiguous dataset are."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size_bytes


@dataclass(frozen=True)
class Records:
    """The datasets with the samples of one file.

    Attributes
    ----------
    datasets : list of h5py.Dataset
        Valid while the file is open.
    samples : int
    part_bytes : int
        The size of the part of a sample that each dataset holds.
    extents : list of Extent
        Where the datasets are in the file; none where a sample is not its bytes in the file.
    labels : Extent or None
        Where bytes may be other ones in the next file.
    """

    datasets: list[Any]
    samples: int
    part_bytes: int
    extents: list[Extent]
    labels: Extent | None


def find_records(file: Any, wanted: Datasets, ranks: set[int], element_type: str) -> Records:
    """Return the datasets of samples in an open file.

    Raises
    ------
    ValueError
        Saying what is wrong; h5py raises others for damaged files.
    """
    datasets = _datasets(file, wanted)
    first = datasets[0]
    for each in datasets:
        _check(each, first.shape, element_type)
    if len(first.shape) not in ranks:
        raise ValueError(
            f"the dataset has shape {first.shape}: not {' or '.join(map(str, sorted(ranks)))} "
            "dimensions, of which the first is that of the samples"
        )
    part_bytes = math.prod(first.shape[1:]) * first.dtype.itemsize
    if first.shape[0] and not part_bytes:
        raise ValueError(f"the dataset has shape {first.shape}: samples without any byte")
    extents = [extent for each in datasets if (extent := _extent(each)) is not None]
    return Records(
        datasets,
        first.shape[0],
        part_bytes,
        extents if len(extents) == len(datasets) and _is_little_endian(first) else [],
        _labels(file),
    )


def _datasets(file: Any, wanted: Datasets) -> list[Any]:
    names = [wanted.name(number) for number in range(wanted.count)]
    if wanted.count == 1 and not _has(file, names[0]):
        names = ["records"]
    found = [_dataset(file, name) for name in names]
    if _has(file, wanted.name(wanted.count)):
        raise ValueError(f"a sample has its parts in more than {wanted.count} datasets")
    return found


def _has(file: Any, name: str) -> bool:
    return file.get(name, getlink=True) is not None


def _dataset(file: Any, name: str) -> Any:
    import h5py

    if not _has(file, name):
        raise ValueError(f"the file has no dataset {name}")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place")  # noqa: TRY004 - of the file
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise ValueError(f"{name} is no dataset with elements")
    return found


def _check(dataset: Any, shape: tuple[int, ...], element_type: str) -> None:
    import numpy as np

    wanted = np.dtype(type_code(element_type))
    if dataset.dtype.newbyteorder("<") != wanted:
        raise ValueError(f"the dataset has elements of type {dataset.dtype}, not {element_type}")
    if dataset.shape != shape or not shape:
        raise ValueError(f"the datasets have shapes {shape} and {dataset.shape}")
    if dataset.external or dataset.is_virtual:
        raise ValueError("the data of the dataset are in other files")


def _is_little_endian(dataset: Any) -> bool:
    import numpy as np

    return bool(dataset.dtype == dataset.dtype.newbyteorder("<")) or np.dtype(dataset).itemsize == 1


def _extent(dataset: Any) -> Extent | None:
    offset = dataset.id.get_offset()
    if offset is None or dataset.chunks is not None:
        return None
    return Extent(int(offset), math.prod(dataset.shape) * int(dataset.dtype.itemsize))


def _labels(file: Any) -> Extent | None:
    """Return where the labels are; what is odd about them is no matter."""
    import h5py

    with contextlib.suppress(Exception):
        if isinstance(file.get(LABELS, getlink=True), h5py.HardLink):
            labels = file[LABELS]
            return None if labels.dtype.hasobject else _extent(labels)
    return None


def require_inside(records: Records, file_bytes: int) -> None:
    """Refuse datasets that hold more than a file of this size can.

    Raises
    ------
    ValueError
        If data are missing.
    """
    for extent in records.extents:
        if extent.end > file_bytes:
            raise Damage(
                f"the data end at byte {extent.end}, and the file at {file_bytes}",
                file_bytes,
                max(0, file_bytes - extent.offset) // records.part_bytes,
            )
    if records.extents:
        return
    for dataset in records.datasets:
        size_bytes = records.part_bytes * records.samples
        if size_bytes > _LARGEST_EXPANSION * file_bytes:
            raise ValueError(f"{size_bytes} bytes cannot come of a file of {file_bytes}")
        if dataset.chunks is not None and dataset.id.get_num_chunks() != _chunk_count(dataset):
            raise ValueError("chunks are missing")
        if dataset.chunks is None and dataset.id.get_storage_size() < size_bytes:
            raise ValueError("data are missing")


def _chunk_count(dataset: Any) -> int:
    sides = zip(dataset.shape, dataset.chunks, strict=True)
    return math.prod(-(-side // chunk) for side, chunk in sides)


def placed_samples(records: Records, view: memoryview) -> Iterator[memoryview]:
    """Yield samples that are their bytes in the file, in place where they are in one piece."""
    size_bytes = records.part_bytes
    for number in range(records.samples):
        starts = [extent.offset + number * size_bytes for extent in records.extents]
        parts = [view[start : start + size_bytes] for start in starts]
        if len(parts) > 1:
            yield memoryview(b"".join(parts))
            continue
        try:
            yield parts[0]
        finally:
            with contextlib.suppress(BufferError):  # somebody still looks at it
                parts[0].release()


def read_samples(records: Records) -> Iterator[memoryview]:
    """Yield samples that h5py reads, as many at a time as a chunk holds."""
    import numpy as np

    step = min(records.samples, max((each.chunks or (1,))[0] for each in records.datasets))
    shape = (step, *records.datasets[0].shape[1:])
    dtype = records.datasets[0].dtype.newbyteorder("<")
    blocks = [np.empty(shape, dtype) for _ in records.datasets]
    for start in range(0, records.samples, max(1, step)):
        count = min(step, records.samples - start)
        for dataset, block in zip(records.datasets, blocks, strict=True):
            dataset.read_direct(block, np.s_[start : start + count], np.s_[:count])
        for row in range(count):
            parts = [block[row].reshape(-1).view(np.uint8) for block in blocks]
            yield (parts[0] if len(parts) == 1 else np.concatenate(parts)).data
