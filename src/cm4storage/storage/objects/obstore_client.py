"""Requests through obstore, a binding of the Rust crate object_store: the default client."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError, redact_url
from cm4storage.storage.objects.client import CONCURRENT_PARTS, DIGEST_NAME, LIST_PAGE, Answer
from cm4storage.storage.objects.failure import (
    KINDS_BY_STATUS,
    LONGEST_MESSAGE,
    Kind,
    ObjectFailure,
    Translated,
)
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_STREAM_CHUNK_BYTES: Final = 64 * 1024

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>", re.DOTALL)
_RETRIES = re.compile(r"after (\d+) retries")
_URL = re.compile(r"https?://\S+")
_QUOTED = re.compile(r'"[^"]*"')
_METADATA_SERVICE: Final = "http://169.254.169.254/"
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
# Only the debug part tells it from a service that took the request and closed the connection; of a
# connection that was not made in time the outer kind is "Timeout".
_NO_CONNECTION = re.compile(r"(?:kind: |\(\s*)Connect,")
# Azurite answers with no bytes where others refuse; the library notices.
_TOO_FAR: Final = "Wanted range starting at"
_NO_CONTAINER: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})

NO_RETRIES: Final[Any] = {"max_retries": 0}


def own_retries(limit_s: float) -> Any:
    """Return how the client itself tries the parts and pages again that it asks for alone."""
    return {
        "max_retries": 1000,
        "retry_timeout": timedelta(seconds=limit_s),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=4),
            "base": 2,
        },
    }


class ObstoreClient:
    """An `ObjectClient` over two of obstore's stores on the same prefix.

    Parameters
    ----------
    make_store : callable
        Makes one of obstore's stores from a configuration of its retries.
    retry_limit_s : float
        For the requests that the library repeats without telling us.
    """

    name = "obstore"
    lacks: Mapping[str, str] = {
        "counted-parts": "obstore repeats the parts of a large object and the pages of a listing "
        "by itself, and does not tell"
    }

    retries = 0

    def __init__(self, make_store: Callable[[Any], Any], retry_limit_s: float) -> None:
        self._obstore = _import_library()
        self._single = make_store(NO_RETRIES)
        self._repeating = make_store(own_retries(retry_limit_s))

    def get(self, key: str, start: int, length: int | None) -> Answer:
        """See `ObjectClient.get`."""
        with _TRANSLATED:
            result = self._obstore.get(self._single, key, options=_options(start, length))
            first_byte_s = time.perf_counter()
            data = result.bytes()
            return _answer(data, result, first_byte_s)

    def get_into(self, key: str, target: memoryview, start: int) -> Answer:
        """See `ObjectClient.get_into`."""
        with _TRANSLATED:
            result = self._obstore.get(self._single, key, options=_options(start, target.nbytes))
            first_byte_s = time.perf_counter()
            done = 0
            for chunk in result.stream(min_chunk_size=_STREAM_CHUNK_BYTES):
                target[done : done + len(chunk)] = chunk
                done += len(chunk)
            return _answer(target[:done], result, first_byte_s)

    def head(self, key: str) -> int:
        """See `ObjectClient.head`."""
        with _TRANSLATED:
            return int(self._obstore.head(self._single, key)["size"])

    def put(self, key: str, body: bytearray, digest: str) -> None:
        """See `ObjectClient.put`."""
        metadata = {DIGEST_NAME: digest} if digest else None
        with _TRANSLATED:
            self._obstore.put(self._single, key, body, attributes=metadata, use_multipart=False)

    def put_parts(
        self,
        key: str,
        parts: Iterator[bytearray],
        part_bytes: int,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """See `ObjectClient.put_parts`."""
        del on_retry
        with _TRANSLATED:
            self._obstore.put(
                self._repeating,
                key,
                parts,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=CONCURRENT_PARTS,
            )

    def pages(
        self, folder: str, on_retry: Callable[[], None] | None = None
    ) -> Iterator[list[ObjectStat]]:
        """See `ObjectClient.pages`."""
        del on_retry
        with _TRANSLATED:
            for page in self._obstore.list(self._repeating, folder or None, chunk_size=LIST_PAGE):
                yield [ObjectStat(meta["path"], meta["size"]) for meta in page]

    def folders(self, on_retry: Callable[[], None] | None = None) -> list[str]:
        """See `ObjectClient.folders`."""
        del on_retry
        with _TRANSLATED:
            level = self._obstore.list_with_delimiter(self._repeating)
        return list(level["common_prefixes"])

    def delete(self, key: str) -> None:
        """See `ObjectClient.delete`."""
        with _TRANSLATED:
            self._obstore.delete(self._single, key)

    def close(self) -> None:
        """See `ObjectClient.close`."""
        self._single = self._repeating = None


def failure_of(error: Exception) -> ObjectFailure:
    """Read an error of the library; what is no error of its is a defect, and raised."""
    from obstore.exceptions import BaseError

    # A ValueError: more bytes came than there was room for.
    if not isinstance(error, (BaseError, OSError, ValueError)):
        raise error
    text, _, details = str(error).partition("\n\nDebug source")
    if untrusted := _CERTIFICATE.search(details):
        return ObjectFailure(Kind.UNTRUSTED, f"{untrusted.group(1)}, says the TLS library")
    found = _STATUS.search(text)
    status = int(found.group(1)) if found else None
    code = _first(_CODE, text)
    message = _first(_MESSAGE, text).strip() or _detail(text)
    words = _QUOTED.sub("", _URL.sub("", str(error)))
    kind = Kind.SILENT if _is_silent(words) else _kind(error, status, code, text, words)
    failure = ObjectFailure(kind, message, status=status, code=code)
    if repeated := _first(_RETRIES, text):
        failure.retries, failure.is_final = int(repeated), True  # until the time was up
    return failure


_TRANSLATED: Final = Translated(failure_of)


def _is_silent(words: str) -> bool:
    """Tell whether a connected service let the time pass; only the debug part of an error says."""
    return "TimedOut" in words and "Connect" not in words


def _kind(error: Exception, status: int | None, code: str, text: str, words: str) -> Kind:
    name = type(error).__name__
    if code in _NO_CONTAINER:
        return Kind.NO_CONTAINER
    if isinstance(error, FileNotFoundError):
        return Kind.NO_OBJECT
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return Kind.REFUSED
    if status is not None:
        return KINDS_BY_STATUS.get(status, Kind.ANSWERED)
    return _kind_of_text(text, words)


def _kind_of_text(text: str, words: str) -> Kind:
    if _TOO_FAR in text:
        return Kind.PAST_THE_END
    # Buckets and keys, which are in the URL, may have any words.
    if _METADATA_SERVICE in text or "metadata" in _URL.sub("", text).lower():
        return Kind.NO_CREDENTIALS
    return Kind.UNREACHABLE if _NO_CONNECTION.search(words) else Kind.BROKEN_OFF


def _answer(data: Any, result: Any, first_byte_s: float) -> Answer:
    begin, end = result.range
    digest = result.attributes.get(DIGEST_NAME, "")
    return Answer(data, begin, end, result.meta["size"], digest, first_byte_s)


def _options(start: int, length: int | None) -> Any:
    if length is not None:
        return {"range": (start, start + length)}
    return {"range": {"offset": start}} if start else None


def _detail(message: str) -> str:
    lines = message.partition(" error: ")[2] or message
    return redact_url(lines.splitlines()[0] if lines else "")[:LONGEST_MESSAGE]


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""


def _import_library() -> Any:
    try:
        import obstore
    except ImportError as error:
        raise UserError(
            "the client of object stores is not installed",
            meaning=f"the package obstore cannot be imported: {error}",
            advice="pip install 'cm4storage[s3]', or 'cm4storage[azure]'",
        ) from error
    return obstore
