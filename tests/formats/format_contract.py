"""What every format must do, as a table: `test_formats.py` holds each row to the same tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from named_formats import format_named

from cm4storage.formats.format import FileShape

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = (
    FileShape((1, 1), 1),
    FileShape((100, 77), 1),
    FileShape((100, 77), 5),
    FileShape((1500, 1500), 1),
    FileShape((3, 5), 200),
)
"""Shapes that every format of bytes has."""

TYPED_SHAPES = (
    FileShape((7,), 3),
    FileShape((4, 3, 5, 2), 2),
    FileShape((1, 6), 4),
    FileShape((30, 41), 1, "float32"),
    FileShape((4, 9), 3, "float16"),
    FileShape((11,), 2, "float64"),
    FileShape((2, 3, 4), 2, "int64"),
    FileShape((5, 8), 3, "uint16"),
    FileShape((50, 40), 1, "bool"),
    FileShape((6, 6), 2, "int8"),
)
"""Shapes of other ranks and element types."""

DAMAGE_SHAPE = FileShape((20, 30), 3)
LARGE_SHAPE = FileShape((2200, 2200), 2)


@dataclass(frozen=True, eq=False)  # each row is itself: files are kept by row
class Case:
    """One row: a format with its settings.

    Attributes
    ----------
    name : str
        As in ``dataset.format``.
    settings : dict
        Further keys of ``dataset``.
    shapes : tuple of FileShape
        What it is tried with.
    damage_shape : FileShape
        That of the file which is damaged.
    large_shape : FileShape
        That of a file which is larger than any part of it.
    has_checksums : bool
        Whether a flipped bit in a sample must be found; else it may give another sample.
    has_ends : bool
        Whether a file that is cut between two records is a whole file with fewer.
    reads_companions : bool
        Whether the format's own reader needs them; else they are for others.
    has_any_bytes : bool
        Whether any bytes at all can be a file.
    reads_nothing : bool
        Whether samples come without the file.
    has_equal_samples : bool
        Whether all samples are the same.
    largest_part_bytes : int or None
        The largest part that `encode` may yield; None where the format needs a whole record or
        file at once.
    is_direct : callable
        Which shapes a `DirectFormat` reads straight to where they are wanted.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[FileShape, ...] = SHAPES + TYPED_SHAPES
    damage_shape: FileShape = DAMAGE_SHAPE
    large_shape: FileShape = LARGE_SHAPE
    has_checksums: bool = True
    has_ends: bool = False
    reads_companions: bool = True
    has_any_bytes: bool = False
    reads_nothing: bool = False
    has_equal_samples: bool = False
    largest_part_bytes: int | None = 4 * 2**20
    is_direct: Callable[[FileShape], bool] = lambda _shape: True

    def make(self, shape):
        """Return the format of a data set whose files have this shape."""
        return format_named(
            self.name,
            record_dims=shape.record_shape,
            record_element_type=shape.element_type,
            num_samples_per_file=shape.samples,
            **self.settings,
        )

    @property
    def damage_shape_direct(self) -> FileShape:
        """The same for the file that is read directly."""
        shape = self.damage_shape
        return shape if self.is_direct(shape) else FileShape(shape.record_shape, 1)

    def __str__(self) -> str:
        """Return the name of the row in test reports."""
        return "-".join([self.name, *(str(value) for value in self.settings.values())])


def has_one_sample(shape):
    """Tell whether the samples of a file are in one piece each."""
    return shape.samples == 1


def never(_shape):
    """Tell that no file is read directly."""
    return False


FEW = (FileShape((100, 77), 1), FileShape((20, 30), 3), FileShape((4, 9), 3, "float32"))
"""For compressions that take their time."""
IMAGES = (
    FileShape((1, 1), 1),
    FileShape((100, 77), 1),
    FileShape((1500, 1500), 1),
    FileShape((30,), 1),
    FileShape((20, 30, 3), 1),
)
"""Shapes that formats of images have."""
IMAGE = FileShape((20, 30), 1)


FORMATS = [
    Case("npz", is_direct=has_one_sample),
    Case("npz", {"compression": "zip"}, is_direct=never),
    Case("hdf5", has_checksums=False),
    Case("hdf5", {"compression": "gzip", "compression_level": 1}, is_direct=never),
    Case("hdf5", {"compression": "lzf"}, has_checksums=False, is_direct=never),
    Case("indexed_binary", has_checksums=False),
    Case("mmap_indexed_binary", has_checksums=False),
    Case(
        "synthetic",
        has_ends=True,
        has_any_bytes=True,
        reads_nothing=True,
        has_equal_samples=True,
    ),
    Case("npy", has_checksums=False, is_direct=has_one_sample),
    Case("tfrecord", has_ends=True, reads_companions=False, largest_part_bytes=None),
    Case("csv", has_checksums=False, has_ends=True),
    *(
        Case(
            "csv",
            {"compression": name},
            FEW,
            large_shape=FileShape((400, 400), 2),
            largest_part_bytes=2**17,
        )
        for name in ("gzip", "bz2", "zip", "xz")
    ),
    Case("parquet", largest_part_bytes=None),
    Case("parquet", {"parquet_row_group_size": 2}, FEW, largest_part_bytes=None),
    Case("jpeg", shapes=IMAGES, damage_shape=IMAGE, largest_part_bytes=None),
    Case("png", shapes=IMAGES, damage_shape=IMAGE, largest_part_bytes=None),
]
