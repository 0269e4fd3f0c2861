"""Parquet files read by ranges: the footer, then of each row group the columns that are wanted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import MIB
from cm4storage.formats.damage import Damage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.formats.format import Source

_BATCH_BYTES = 4 * MIB
_MOST_ROWS = 65536


class RangedFile:
    """The file that pyarrow reads: it asks for the footer, and for the chunks of columns."""

    closed = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size_bytes = source.size_bytes()
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes; a copy, since nobody says when it is used no more."""
        wanted = self.size_bytes - self._at if count < 0 else count
        with self._source.read(self._at, wanted) as view:
            data = bytes(view)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; see `io.IOBase.seek`."""
        self._at = offset + (0, self._at, self.size_bytes)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readable(self) -> bool:
        """Say that the file can be read."""
        return True

    def seekable(self) -> bool:
        """Say that one can move in the file."""
        return True

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: there is nothing open."""


class ParquetReading:
    """One file that is being read.

    Ranges are asked for by pyarrow, which makes one of near ones. Its Python classes for the
    metadata of columns are not used: they end the process where a footer is damaged.
    """

    def __init__(self, source: Source) -> None:
        import pyarrow.parquet as pq

        file = RangedFile(source)
        self._size_bytes = file.size_bytes
        with arrow_damage("no Parquet file, or its footer is damaged"):
            self._file = pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
            self._names = self._file.schema_arrow.names

    def batches(self, names: Sequence[str], row_bytes: int | None) -> Iterator[Any]:
        """Yield the rows of all row groups, some thousand at a time; checksums are verified.

        Parameters
        ----------
        names : sequence of str
            The columns.
        row_bytes : int, optional
            Their size in each row; else that of the first row group decides.
        """
        for name in names:
            if name not in self._names:
                raise Damage(f"there is no column {name}", self._size_bytes)
        rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // (row_bytes or self._row_bytes())))
        counts = []
        for group in range(self._file.num_row_groups):
            counts.append(0)
            for batch in self._group(group, rows, names):
                counts[-1] += batch.num_rows
                yield batch
        self._require_counts(counts)

    def _group(self, group: int, rows: int, names: Sequence[str]) -> Iterator[Any]:
        with arrow_damage(f"row group {group} cannot be read"):
            batches = self._file.iter_batches(rows, [group], list(names), use_threads=False)
        while True:
            with arrow_damage(f"row group {group} cannot be read"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _require_counts(self, counts: list[int]) -> None:
        """Compare the rows that came with those that the footer says there are."""
        metadata = self._file.metadata
        said = [metadata.row_group(group).num_rows for group in range(len(counts))]
        if counts != said or sum(counts) != metadata.num_rows:
            raise Damage(
                f"{sum(counts)} rows came, and the footer says {metadata.num_rows}",
                self._size_bytes,
            )

    def _row_bytes(self) -> int:
        if not self._file.num_row_groups:
            return 1
        group = self._file.metadata.row_group(0)
        return max(1, int(group.total_byte_size // max(1, group.num_rows)))


@contextmanager
def arrow_damage(what: str) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into `Damage`."""
    import pyarrow as pa

    try:
        yield
    except Damage:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Damage(f"{what}: {str(error).splitlines()[0]}") from None
