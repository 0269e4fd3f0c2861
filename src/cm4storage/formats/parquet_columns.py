"""Columns of a Parquet file: content to Arrow's arrays, and these to the bytes of samples.

Source: ``data_generator/parquet_generator.py`` of the DLIO fork of MLPerf Storage 3.0. A column of
numbers has one in each row, or a list of fixed size; ``list`` is such a list of float32. Texts and
binaries have `size` bytes in each row, so that all samples are of one size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.formats.damage import Damage
from cm4storage.formats.elements import content_of
from cm4storage.workload.sections import ELEMENT_TYPES, ParquetColumn, item_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Content

_BYTE_TYPES = ("string", "binary")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Parquet has no integers of less than 32 bits.
_LEAST_STORED_BYTES = 4


class Column:
    """One column.

    Parameters
    ----------
    column : ParquetColumn
    is_list : bool, optional
        Whether its cells are lists, also if they have one element.
    """

    def __init__(self, column: ParquetColumn, *, is_list: bool | None = None) -> None:
        self.name = column.name
        self.is_read = column.read
        self.element_type = "float32" if column.dtype == "list" else column.dtype
        if self.element_type not in (*ELEMENT_TYPES, *_BYTE_TYPES):
            raise UserError(
                f"dataset.parquet.columns: {column.name} has the unknown dtype {column.dtype}",
                where="dataset.format=parquet",
                advice=f"known: {', '.join((*ELEMENT_TYPES, *_BYTE_TYPES, 'list'))}",
            )
        self.size = column.size
        self.has_bytes = self.element_type in _BYTE_TYPES
        listed = column.size > 1 or column.dtype == "list" if is_list is None else is_list
        self.is_list = listed and not self.has_bytes
        self.cell_bytes = column.row_bytes

    def arrow_type(self) -> Any:
        """Return the type that is written."""
        import pyarrow as pa

        if self.has_bytes:
            return pa.string() if self.element_type == "string" else pa.binary()
        element = (
            pa.bool_() if self.element_type == "bool" else pa.type_for_alias(self.element_type)
        )
        return pa.list_(element, self.size) if self.is_list else element

    @property
    def is_small(self) -> bool:
        """Whether there are few values, so that a dictionary of them saves space."""
        return not self.has_bytes and item_bytes(self.element_type) == 1

    def most_bytes(self, rows: int) -> int:
        """Return what `rows` cells take at most, with levels, headers and part of a footer."""
        values = rows * (1 if self.has_bytes else self.size)
        data_bytes = rows * self.cell_bytes
        if self.has_bytes:
            data_bytes += 4 * rows
        elif self.is_small:
            data_bytes += 2048
        else:
            stored = max(_LEAST_STORED_BYTES, item_bytes(self.element_type))
            data_bytes = values * (2 if self.element_type == "float16" else stored)
        level_bytes = values // 3 + 8 * rows if self.is_list else rows // 8
        pages = 2 + data_bytes // 2**19
        return data_bytes + data_bytes // 64 + level_bytes + 128 * pages + 1024 + 2 * len(self.name)

    def filled(self, rows: int, content: Content) -> Any:
        """Return an Arrow array of `rows` cells with the next bytes of `content`."""
        import numpy as np
        import pyarrow as pa

        cells = np.empty(rows * self.cell_bytes, np.uint8)
        if self.has_bytes:
            content.fill(cells.data)
            return self._of_bytes(rows, cells)
        content_of(self.element_type, content).fill(cells.data)
        values = cells.view(self.element_type)
        if self.element_type == "bool":
            elements = pa.array(values)
        else:
            element_type = pa.type_for_alias(self.element_type)
            elements = pa.Array.from_buffers(
                element_type, len(values), [None, pa.py_buffer(values)]
            )
        return pa.FixedSizeListArray.from_arrays(elements, self.size) if self.is_list else elements

    def _of_bytes(self, rows: int, cells: npt.NDArray[np.uint8]) -> Any:
        import numpy as np
        import pyarrow as pa

        if self.element_type == "string":
            cells = np.frombuffer(_LETTERS, np.uint8).take(cells & 63)
        ends = np.arange(rows + 1, dtype=np.int32) * np.int32(self.size)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(cells)]
        return pa.Array.from_buffers(self.arrow_type(), rows, buffers)

    def cells_of(self, array: Any) -> npt.NDArray[np.uint8]:
        """Return an array's cells as bytes: one line each.

        Raises
        ------
        Damage
            If the array has another type, another size or missing values.
        """
        import numpy as np
        import pyarrow as pa

        kind = array.type
        if self.is_list and _is_list(kind):
            self._require_size(array)
            array, kind = array.flatten(), kind.value_type
        rows_times = self.size if self.is_list else 1
        expected = self.arrow_type().value_type if self.is_list else self.arrow_type()
        if kind != expected:
            raise Damage(f"column {self.name} is of type {kind}, not {expected}")
        if array.null_count:
            raise Damage(f"column {self.name} has missing values")
        if self.has_bytes:
            return self._bytes_of(array)
        values = array.to_numpy(zero_copy_only=not pa.types.is_boolean(kind))
        cells: npt.NDArray[np.uint8] = values.view(np.uint8)
        return cells.reshape(len(array) // rows_times, self.cell_bytes)

    def _require_size(self, array: Any) -> None:
        import numpy as np

        sizes: Any = getattr(array.type, "list_size", None)
        if sizes is None:
            sizes = np.diff(array.offsets.to_numpy())
        if array.null_count:
            raise Damage(f"column {self.name} has missing values")
        if (sizes != self.size) if isinstance(sizes, int) else (sizes != self.size).any():
            raise Damage(f"column {self.name} has lists of another size than {self.size}")

    def _bytes_of(self, array: Any) -> npt.NDArray[np.uint8]:
        import numpy as np

        _, ends, data = array.buffers()
        offsets = np.frombuffer(ends, np.int32)[array.offset : array.offset + len(array) + 1]
        if (np.diff(offsets) != self.size).any():
            raise Damage(f"column {self.name} has values of another size than {self.size}")
        cells = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
        return cells.reshape(len(array), self.size)


def place_cells(rows: npt.NDArray[np.uint8], at: int, cells: npt.NDArray[np.uint8]) -> None:
    """Write a cell of each row to byte `at` of that row; one cell goes to all.

    A cell is copied as one element, several times as fast as its bytes one by one.
    """
    import numpy as np

    width = cells.shape[-1]
    dtype = f"<u{width}" if width in (1, 2, 4, 8) else f"V{width}"
    places: npt.NDArray[Any] = np.ndarray(
        (len(rows),), dtype, buffer=rows, offset=at, strides=(rows.strides[0],)
    )
    places[:] = np.ascontiguousarray(cells).reshape(-1).view(dtype)


def first_size(array: Any) -> int:
    """Return how many elements the first list of an array has; 1 for single numbers."""
    size = len(array[0]) if len(array) and _is_list(array.type) and array[0].is_valid else 1
    return max(1, size)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind))
