"""The operation log: one row per operation of a store, as zstd-compressed TSV."""

from cm4storage.storage.oplog.log import FileLog
from cm4storage.storage.oplog.reading import Row, read_rows

__all__ = ["FileLog", "Row", "read_rows"]
