"""HDF5 files as this project writes them: h5py says what stands around the samples.

h5py makes each file once without its samples, in a file object that keeps only what was written to
it. Samples in one piece (contiguous) are then put between; h5py writes chunks itself.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.formats.npy_header import type_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.formats.format import FileShape
    from cm4storage.workload.sections import DatasetSection

LABELS = "labels"

# The first whose metadata have checksums; fixed, so that a newer library writes the same bytes.
_LIBRARY_VERSION = ("v110", "v110")


class SparseFile(io.RawIOBase):
    """A file that holds what was written to it, and nothing in between."""

    def __init__(self) -> None:
        super().__init__()
        self._writes: list[tuple[int, bytes]] = []
        self._at = 0
        self.size_bytes = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def seekable(self) -> bool:
        """Tell that it has positions."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        self._at = offset + (0, self._at, self.size_bytes)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def write(self, data: Any) -> int:
        """Keep bytes for the position."""
        self._writes.append((self._at, bytes(data)))
        self._at += len(self._writes[-1][1])
        self.size_bytes = max(self.size_bytes, self._at)
        return len(self._writes[-1][1])

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on; zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        view[:] = self.between(self._at, self._at + len(view))
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size; what is written behind it is forgotten with the file."""
        self.size_bytes = self._at if size is None else size
        return self.size_bytes

    def between(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`."""
        result = bytearray(end - start)
        for at, data in self._writes:
            first, last = max(at, start), min(at + len(data), end)
            if first < last:
                result[first - start : last - start] = data[first - at : last - at]
        return bytes(result)


@dataclass(frozen=True)
class Datasets:
    """The datasets that hold the samples of the files of one data set.

    Attributes
    ----------
    count : int
        ``hdf5.num_dset_per_record``: in how many datasets the parts of each sample are.
    has_dims : bool
        Whether the YAML gives ``record_dims``: a first side of one is left out then.
    options : dict
        Further arguments of h5py's ``create_dataset``.
    max_shape : tuple of int
    """

    count: int
    has_dims: bool
    options: dict[str, Any]
    max_shape: tuple[int, ...]

    @classmethod
    def of(cls, dataset: DatasetSection) -> Datasets:
        """Return what a data set asks for."""
        options: dict[str, Any] = {}
        if dataset.hdf5_chunk_dims:
            options["chunks"] = dataset.hdf5_chunk_dims
        if dataset.compression != "none":
            options["compression"] = dataset.compression
        if dataset.compression == "gzip":
            options["compression_opts"] = dataset.compression_level
        max_shape = dataset.hdf5_max_shape
        return cls(dataset.hdf5_num_dset_per_record, bool(dataset.record_dims), options, max_shape)

    @property
    def is_contiguous(self) -> bool:
        """Whether the samples are in one piece."""
        return not (self.options or self.max_shape)

    def sides(self, record_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the dimensions of the part of a sample that one dataset holds.

        Source: ``data_generator/hdf5_generator.py`` of dlio_benchmark.
        """
        first, *others = record_shape
        first //= self.count
        if self.has_dims and first == 1:
            return tuple(others)
        return (first, *others)

    def name(self, number: int) -> str:
        """Return the name of a dataset."""
        return f"records_{number}"

    def create(self, file: Any, shape: FileShape) -> list[Any]:
        """Create the datasets, and that of the labels, in an h5py file; return those of samples.

        If there is only one, it is linked under the older name ``records`` too, which is what DLIO
        before 2025 reads.
        """
        import numpy as np

        size = (shape.samples, *self.sides(shape.record_shape))
        made = [self._create(file, self.name(number), size, shape) for number in range(self.count)]
        if self.count == 1:
            file["records"] = made[0]
        file.create_dataset(LABELS, data=np.zeros(shape.samples, "<i8"))
        return made

    def _fitting(self, size: tuple[int, ...]) -> dict[str, Any]:
        """Return the options for one file: where sizes vary, it may be less than a chunk."""
        options = dict(self.options)
        if "chunks" in options:
            options["chunks"] = tuple(map(min, options["chunks"], size))
        if self.max_shape:
            options["maxshape"] = (size[0], *map(max, self.max_shape, size[1:]))
        return options

    def _create(self, file: Any, name: str, size: tuple[int, ...], shape: FileShape) -> Any:
        import h5py
        import numpy as np

        dtype = np.dtype(type_code(shape.element_type))
        if not self.is_contiguous:
            return file.create_dataset(name, size, dtype, **self._fitting(size))
        rules = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        rules.set_obj_track_times(False)
        rules.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        rules.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        kind, space = h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(size)
        made = h5py.h5d.create(file.id, name.encode(), kind, space, rules)
        return h5py.Dataset(made)


def open_new(stream: Any, chunk_cache_bytes: int | None = None) -> Any:
    """Open an h5py file for writing whose bytes depend on its contents alone."""
    import h5py

    return h5py.File(stream, "w", libver=_LIBRARY_VERSION, rdcc_nbytes=chunk_cache_bytes)


@dataclass(frozen=True)
class Frame:
    """A file with samples in one piece.

    Attributes
    ----------
    outside : tuple of bytes
        What stands before, between and after the datasets of samples.
    part_bytes : int
        The size of the part of a sample that each dataset holds.
    samples : int
    """

    outside: tuple[bytes, ...]
    part_bytes: int
    samples: int

    @property
    def file_bytes(self) -> int:
        """The size of the file."""
        datasets = len(self.outside) - 1
        return sum(map(len, self.outside)) + datasets * self.part_bytes * self.samples


def frame_of(shape: FileShape, datasets: Datasets) -> Frame:
    """Return what stands around the samples in a file of this shape."""
    stream = SparseFile()
    with open_new(stream) as file:
        offsets = [made.id.get_offset() for made in datasets.create(file, shape)]
    part_bytes = shape.record_bytes // datasets.count
    size_bytes = part_bytes * shape.samples
    starts = [0, *(offset + size_bytes for offset in offsets)]
    ends = [*offsets, stream.size_bytes]
    outside = tuple(stream.between(start, end) for start, end in zip(starts, ends, strict=True))
    return Frame(outside, part_bytes, shape.samples)


def chunked_bytes(shape: FileShape, datasets: Datasets) -> int:
    """Return what a file of this shape with chunks takes at most.

    HDF5 stores chunks at the edges whole, and those that would grow by compression as they are.
    """
    stream = SparseFile()
    with open_new(stream) as file:
        first = datasets.create(file, shape)[0]
        chunks = [-(-side // chunk) for side, chunk in zip(first.shape, first.chunks, strict=True)]
        count, chunk_bytes = math.prod(chunks), math.prod(first.chunks) * first.dtype.itemsize
    return int(
        stream.size_bytes
        + datasets.count * count * (chunk_bytes + _INDEX_BYTES_PER_CHUNK)
        + _INDEX_BYTES
    )


_INDEX_BYTES_PER_CHUNK, _INDEX_BYTES = 64, 2**16


def parts_of(stream: Any, part_bytes: int) -> Iterator[memoryview]:
    """Yield a file from its start on through one buffer."""
    buffer = memoryview(bytearray(part_bytes))
    stream.seek(0)
    while count := stream.readinto(buffer):
        yield buffer[:count]
