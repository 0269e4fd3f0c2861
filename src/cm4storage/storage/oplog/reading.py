"""Reading operation logs: ours, also those that a kill cut short, and those of warp and s3dlio."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEEDED: Final = ("op", "bytes", "file", "error", "start", "end", "duration_ns")
_LONGEST_LINE: Final = 1_000_000
_READ_BYTES: Final = 65_536


@dataclass(frozen=True)
class Row:
    """One operation.

    Attributes
    ----------
    op : str
    file : str
        The object's URI, or its name.
    size_bytes : int
    duration_s : float
    first_byte_s : float or None
        From the start on.
    retries : int
    error : str
        Empty where all went well.
    start, end : str
        As they are written.
    """

    op: str
    file: str
    size_bytes: int
    duration_s: float
    first_byte_s: float | None
    retries: int
    error: str
    start: str
    end: str


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a log, the names of the columns first, as far as it can be read.

    Raises
    ------
    UserError
        If the file is no log.
    StorageFault
        If it cannot be read.
    """
    import zstandard

    try:
        with path.open("rb") as file:
            begun = b""
            for piece in _decompressed(file):
                *lines, begun = (begun + piece).split(b"\n")
                if len(begun) > _LONGEST_LINE:
                    raise _no_log(path, "its lines are too long")
                for line in lines:
                    if not line.startswith(b"#"):
                        yield line.decode(errors="replace")
            # What is no whole line was being written when the process was killed.
    except zstandard.ZstdError as error:
        raise _no_log(path, str(error)) from error
    except OSError as error:
        raise StorageFault(
            f"cannot read the operation log: {error.strerror}", where=str(path)
        ) from error


def _decompressed(file: IO[bytes]) -> Iterator[bytes]:
    """Yield all that a file holds, also of a frame that was never ended.

    The library's own reader keeps the last of such a frame for itself.
    """
    import zstandard

    decompressor = zstandard.ZstdDecompressor()
    frame, rest = decompressor.decompressobj(), b""
    while data := rest or file.read(_READ_BYTES):
        yield frame.decompress(data)
        rest = frame.unused_data
        if frame.eof:
            frame = decompressor.decompressobj()


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a log; see `read_lines`."""
    lines = read_lines(path)
    columns = {name: number for number, name in enumerate(next(lines, "").split("\t"))}
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise _no_log(path, f"it has no column {', '.join(missing)}")
    for number, line in enumerate(lines, start=2):
        try:
            yield _row(line.split("\t"), columns)
        except (ValueError, IndexError) as error:
            raise _no_log(path, f"line {number} of it is malformed: {error}") from error


def _row(fields: list[str], columns: dict[str, int]) -> Row:
    def field(name: str) -> str:
        return fields[columns[name]]

    start = field("start")
    first = field("first_byte") if "first_byte" in columns else ""
    return Row(
        op=field("op"),
        file=field("file"),
        size_bytes=int(field("bytes")),
        duration_s=int(field("duration_ns")) / 1e9,
        first_byte_s=_seconds(first) - _seconds(start) if first else None,
        retries=int(field("retries")) if "retries" in columns else 0,
        error=field("error"),
        start=start,
        end=field("end"),
    )


def _seconds(text: str) -> float:
    """Return the seconds since the epoch of a time by RFC 3339, or in nanoseconds."""
    if text.isdecimal():
        return int(text) / 1e9
    whole, dot, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0] if dot else "0"
    zone = rest[len(digits) :] if dot else ""
    moment = datetime.fromisoformat(f"{whole}{zone}".replace("Z", "+00:00"))
    return moment.timestamp() + float(f"0.{digits}")


def _no_log(path: Path, why: str) -> UserError:
    return UserError(
        "this is no operation log",
        where=str(path),
        meaning=why,
        advice="give a file that --oplog has written, or one of warp or s3dlio",
    )
