"""The seam between stores and the libraries that send their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cm4storage.storage.store import ObjectStat

DIGEST_NAME = "cm4xxh3"
"""The name of the metadata that holds an object's digest; valid on S3 and on Azure."""

CONCURRENT_PARTS: Final = 4
"""How many parts of one object are on their way at a time, and so in memory."""

LIST_PAGE: Final = 1000
"""How many objects a page of a listing has at most: as many as the services give."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a GET brought.

    Attributes
    ----------
    data : buffer
        The bytes, in memory of the client's; empty for `ObjectClient.get_into`.
    begin, end : int
        The range of bytes that the service said it would send.
    size_bytes : int
        The length of the whole object.
    digest : str
        The digest that was stored with the object, empty where there is none.
    first_byte_s : float
        When the answer began, by `time.perf_counter`.
    """

    data: Any
    begin: int
    end: int
    size_bytes: int
    digest: str = ""
    first_byte_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Tell whether this is the whole object."""
        return self.begin == 0 and self.end == self.size_bytes


class ObjectClient(Protocol):
    """Single requests to the objects below one prefix of one bucket or container.

    Every method may be called from several threads at once. What fails raises
    `cm4storage.storage.objects.failure.ObjectFailure`, and is not tried again in here, unless
    `lacks` says so.
    """

    name: str
    """How users call the client."""

    lacks: Mapping[str, str]
    """What this client cannot do, by the names in `CAPABILITIES`, and why."""

    @property
    def retries(self) -> int:
        """How often the client itself has asked again, as far as it tells: parts and pages."""

    def get(self, key: str, start: int, length: int | None) -> Answer:
        """Fetch the bytes ``[start, start + length)``, or up to the end; `length` is not 0."""

    def get_into(self, key: str, target: memoryview, start: int) -> Answer:
        """Fill `target`, which is not empty, from byte `start` on, as far as the object goes."""

    def head(self, key: str) -> int:
        """Return an object's size in bytes."""

    def put(self, key: str, body: bytearray, digest: str) -> None:
        """Write an object by one request, with its digest beside it."""

    def put_parts(
        self,
        key: str,
        parts: Iterator[bytearray],
        part_bytes: int,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """Write an object in parts that become visible together; all but the last have this size.

        If `parts` raises, nothing becomes visible and nothing is left behind. `on_retry` is called
        before a part is sent again, as far as the client tells.
        """

    def pages(
        self, folder: str, on_retry: Callable[[], None] | None = None
    ) -> Iterator[list[ObjectStat]]:
        """Yield all objects below a folder, which may be empty, page by page.

        Pages may be empty. `on_retry` is called before the client itself asks for one again.
        """

    def folders(self, on_retry: Callable[[], None] | None = None) -> list[str]:
        """Return the names before the first ``/`` of all keys; `on_retry` as in `pages`."""

    def delete(self, key: str) -> None:
        """Remove an object; a missing one may be an `ObjectFailure` or none."""

    def close(self) -> None:
        """Drop all connections."""


CAPABILITIES: Mapping[str, str] = {
    "read-into": "fills the caller's buffer without holding the whole answer in memory",
    "ranges": "asks for a range of bytes",
    "checked-ranges": "shows which range of bytes the service has sent",
    "multipart": "writes large objects in parts",
    "streaming-write": "sends an object while it is being made",
    "lazy-list": "lists page by page, with sizes",
    "metadata": "keeps the digest of an object beside it",
    "counted-retries": "leaves it to us to send a request again",
    "counted-parts": "tells of each retry of a part or of a page of a listing",
    "odd-names": "takes every valid key",
    "proxies": "bypasses a proxy for a server on loopback",
    "several-services": "talks to several services, or as several users, in one process",
    "virtual-hosts": "can name the bucket in the host",
    "anonymous": "can leave requests unsigned",
    "renewed-credentials": "takes new credentials before the old ones expire",
}
"""What a client may lack; the matrix of the contract suite shows it."""
