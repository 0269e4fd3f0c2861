"""Parquet files as the DLIO fork of MLPerf Storage 3.0 has them.

With ``dataset.parquet.columns`` a sample is the bytes of the columns that are read, one after the
other; only these are fetched. Without, there is one column ``data`` of lists, one for each sample.
Others' files with lists that need not be of fixed size are read too.

``partition_by`` puts files into folders as Hive does: ``train/label=3/img_03_of_16.parquet``. The
column is not in the file; its value, that of the sub-folder, is the same for all rows of a file.
(DLIO has a file for each value of a random column, in a folder for each; no reader finds them.)
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.formats.damage import Damage
from cm4storage.formats.format import CorruptFile
from cm4storage.formats.parquet_columns import Column, first_size, place_cells
from cm4storage.formats.parquet_reading import ParquetReading
from cm4storage.workload.sections import ELEMENT_TYPES, ParquetColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

_COMPRESSIONS = {"none": "NONE", "gzip": "GZIP"}
_SINGLE = "data"


class Parquet:
    """The Parquet format. See the module's text."""

    name = "parquet"
    has_exact_size = False

    def __init__(self, dataset: DatasetSection) -> None:
        if dataset.compression not in _COMPRESSIONS:
            raise UserError(
                f"dataset.compression: {dataset.compression} is not for parquet",
                where="dataset.format=parquet",
                advice=f"supported: {', '.join(_COMPRESSIONS)}",
            )
        self._dataset = dataset
        self._partition = _partition(dataset)
        self._columns = [Column(column) for column in dataset.parquet_columns]
        if self._columns and not any(column.is_read for column in self._columns):
            raise UserError(
                "dataset.parquet.columns: no column has read: true",
                where="dataset.format=parquet",
                advice="set read: true for the columns that the loader is to read",
            )

    def file_bytes(self, shape: FileShape) -> int:
        """Return what a file takes at most."""
        columns = self._written(shape)
        groups = sum(
            sum(column.most_bytes(rows) for column in columns) for rows in self._groups(shape)
        )
        return 4096 + 512 * len(columns) + groups

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield one row group after the other; each needs to be in memory."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns, sink = self._written(shape), _Sink()
        schema = pa.schema([(column.name, column.arrow_type()) for column in columns])
        with pq.ParquetWriter(sink, schema, **self._options(columns)) as writer:
            for rows in self._groups(shape):
                arrays = [column.filled(rows, content) for column in columns]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema), rows)
                yield from sink.taken()
        yield from sink.taken()

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples; of each row group just the wanted columns are read."""
        record = 0
        try:
            for rows in self._rows(ParquetReading(source), source.name):
                size, view = rows.shape[1], rows.reshape(-1).data
                for start in range(0, len(view), size):
                    yield view[start : start + size]
                    record += 1
        except Damage as damage:
            raise CorruptFile(
                source.name, damage.what, offset=damage.offset, record=record
            ) from None

    def _rows(self, reading: ParquetReading, name: str) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the bytes of some samples at a time, in memory that the next ones take again."""
        import numpy as np

        columns = [column for column in self._columns if column.is_read]
        names = [column.name for column in columns if not self._is_partition(column)] or [_SINGLE]
        size = sum(column.cell_bytes for column in columns)
        rows = np.empty((0, size), np.uint8)
        for batch in reading.batches(names, size or None):
            if not columns:
                columns = [self._single_column(batch.column(0))]
                size = columns[0].cell_bytes
            count, at = batch.num_rows, 0
            if len(rows) < count:
                rows = np.empty((count, size), np.uint8)
            for column in columns:
                place_cells(rows[:count], at, self._cells(column, batch, name))
                at += column.cell_bytes
            yield rows[:count]

    def _cells(self, column: Column, batch: Any, name: str) -> npt.NDArray[np.uint8]:
        if self._is_partition(column):
            return self._partition_value(column, name)
        return column.cells_of(batch.column(column.name))

    def _single_column(self, array: Any) -> Column:
        """Return the column ``data``: its lists have the size of the first."""
        column = ParquetColumn(_SINGLE, self._dataset.element_type, first_size(array))
        return Column(column, is_list=True)

    def _is_partition(self, column: Column) -> bool:
        return column.name == self._partition

    def _partition_value(self, column: Column, name: str) -> npt.NDArray[np.uint8]:
        import numpy as np

        values = re.findall(rf"/{self._partition}=([^/]*)/", name)
        try:
            value = np.array([float(values[-1])]).astype(column.element_type)
        except (IndexError, ValueError):
            raise Damage(f"the file is in no folder {self._partition}=NUMBER") from None
        return value.view(np.uint8)

    def _written(self, shape: FileShape) -> list[Column]:
        """Return the columns of the files that are written."""
        if self._columns:
            return [column for column in self._columns if not self._is_partition(column)]
        elements = math.prod(shape.record_shape)
        return [Column(ParquetColumn(_SINGLE, shape.element_type, elements), is_list=True)]

    def _groups(self, shape: FileShape) -> Iterator[int]:
        """Yield the rows of each row group: those of a batch are cut into groups."""
        most = self._dataset.parquet_row_group_size
        batch = self._dataset.parquet_generation_batch_size or most
        for start in range(0, shape.samples, batch):
            rows = min(batch, shape.samples - start)
            for done in range(0, rows, most):
                yield min(most, rows - done)

    def _options(self, columns: Sequence[Column]) -> dict[str, Any]:
        """Return the writer's settings.

        Dictionaries only where there are few values: as integers of 32 bits, which is all that
        Parquet has, bytes would take four times the space. No statistics: of noise they say
        nothing, and make the footer of many small groups large.
        """
        small = [_leaf(column) for column in columns if column.is_small]
        level = self._dataset.compression_level
        return {
            "compression": _COMPRESSIONS[self._dataset.compression],
            "compression_level": max(1, level) if self._dataset.compression == "gzip" else None,
            "use_dictionary": small or False,
            "write_statistics": False,
            "write_page_checksum": True,
        }


def _leaf(column: Column) -> str:
    return f"{column.name}.list.element" if column.is_list else column.name


def _partition(dataset: DatasetSection) -> str | None:
    """Return the column that is in the names of folders, if there is one.

    Raises
    ------
    UserError
        If it is no column of single numbers.
    """
    name = dataset.parquet_partition_by
    if name is None:
        return None
    for column in dataset.parquet_columns:
        is_number = column.dtype in ELEMENT_TYPES and column.size == 1
        if column.name == name and is_number and re.fullmatch(r"\w+", name):
            return name
    raise UserError(
        f"dataset.parquet.partition_by: {name} is no column of single numbers",
        where="dataset.format=parquet",
        advice="name a column of dataset.parquet.columns with a numeric dtype and size 1",
    )


class _Sink:
    """The file that pyarrow writes to."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Do nothing: all is taken right away."""

    def close(self) -> None:
        """Do nothing: the parts are taken later."""

    def taken(self) -> Iterator[memoryview]:
        parts, self._parts = self._parts, []
        return map(memoryview, parts)
