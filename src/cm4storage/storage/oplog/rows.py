"""The rows of an operation log.

The first 13 columns are those of MinIO's warp and of s3dlio, whose tools read them; two of ours
follow. Times are UTC by RFC 3339 with nanoseconds. `first_byte` is empty where the backend does not
tell, as a file system does not.
"""

from __future__ import annotations

import re
import time
from typing import Final, NamedTuple

COLUMNS: Final = (
    *("idx", "thread", "op", "client_id", "n_objects", "bytes", "endpoint", "file", "error"),
    *("start", "first_byte", "end", "duration_ns", "retries", "offset"),
)

_SEPARATORS: Final = re.compile(r"[\t\n\r\"]")


class Event(NamedTuple):
    """One operation as the thread that did it notes it; cheap to make.

    Attributes
    ----------
    op : str
        ``GET``, ``PUT``, ``LIST``, ``HEAD`` or ``DELETE``.
    root, key : str
        The store's URI, and what was asked for below it.
    endpoint : str
    thread : int
        The identity of the thread.
    start_ns, first_byte_ns, end_ns : int
        By `time.perf_counter_ns`; 0 where there was no first byte.
    objects, size_bytes : int
        What came or went.
    offset : int
        The first byte that was asked for.
    retries : int
    error : str
        Empty where all went well.
    """

    op: str
    root: str
    key: str
    endpoint: str
    thread: int
    start_ns: int
    first_byte_ns: int
    end_ns: int
    objects: int
    size_bytes: int
    offset: int
    retries: int
    error: str


class Writer:
    """Makes rows of events.

    Parameters
    ----------
    client_id : str
        Whose rows they are, where several logs are put together.
    """

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._count = 0
        self._threads: dict[int, int] = {}
        # What lies between the clock of events and UTC, once for all rows.
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()
        self._second, self._second_text = -1, ""

    @property
    def header(self) -> str:
        """The first line."""
        return "\t".join(COLUMNS) + "\n"

    def row(self, event: Event) -> str:
        """Return the next line."""
        op, root, key, endpoint, ident = event[:5]
        start_ns, first_ns, end_ns, objects, size_bytes, offset, retries, error = event[5:]
        thread = self._threads.setdefault(ident, len(self._threads))
        first = self._time(first_ns) if first_ns else ""
        place = f"{root}/{key}"
        if not place.isprintable() or '"' in place:
            place = _SEPARATORS.sub(_quoted, place)
        if error:
            error = _SEPARATORS.sub(" ", error)
        number, self._count = self._count, self._count + 1
        return (
            f"{number}\t{thread}\t{op}\t{self._client_id}\t{objects}\t{size_bytes}\t{endpoint}\t"
            f"{place}\t{error}\t{self._time(start_ns)}\t{first}\t{self._time(end_ns)}\t"
            f"{end_ns - start_ns}\t{retries}\t{offset}\n"
        )

    def _time(self, clock_ns: int) -> str:
        second, rest_ns = divmod(clock_ns + self._epoch_ns, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._second_text}{rest_ns:09d}Z"


def _quoted(found: re.Match[str]) -> str:
    return f"%{ord(found.group()):02X}"
