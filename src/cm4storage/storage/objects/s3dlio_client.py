"""Requests through s3dlio, the library that dl-driver uses."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError, redact_url
from cm4storage.storage.objects.client import CONCURRENT_PARTS, LIST_PAGE, Answer
from cm4storage.storage.objects.failure import (
    LONGEST_MESSAGE,
    Kind,
    ObjectFailure,
    Translated,
)
from cm4storage.storage.objects.service import host_of, is_loopback
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cm4storage.storage.objects.s3_service import S3Service

_SERVICE_ERROR: Final = re.compile(r"service error: (\w+) \((.*?)\)(?: —|$)", re.DOTALL)
_OTHER_SERVICE_ERROR: Final = re.compile(r'code: "(\w+)", message: "(.*?)"', re.DOTALL)
_STATUS: Final = re.compile(r"HTTP (\d{3})")
_KINDS_BY_CODE: Final = {
    "NoSuchKey": Kind.NO_OBJECT,
    "NotFound": Kind.NO_OBJECT,
    "NoSuchBucket": Kind.NO_CONTAINER,
    "InvalidRange": Kind.PAST_THE_END,
    "AccessDenied": Kind.REFUSED,
    "InvalidAccessKeyId": Kind.REFUSED,
    "SignatureDoesNotMatch": Kind.REFUSED,
    "RequestTimeTooSkewed": Kind.REFUSED,
    "ExpiredToken": Kind.REFUSED,
    "InvalidToken": Kind.REFUSED,
}
_STATUS_BY_CODE: Final = {
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "InternalError": 500,
    "RequestTimeout": 408,
}
_KINDS_BY_STATUS: Final = {401: Kind.REFUSED, 403: Kind.REFUSED, 404: Kind.NO_OBJECT}


class S3dlioClient:
    """An `ObjectClient` over the functions of s3dlio, which know objects by their URIs.

    Parameters
    ----------
    service : S3Service
        Where, and who we are there; the same for the whole process.
    bucket, prefix : str
        What stands before every key.
    """

    name = "s3dlio"
    lacks: Mapping[str, str] = {
        "read-into": "s3dlio reads whole objects alone into the caller's buffer, and wants to be "
        "told their size before",
        "checked-ranges": "s3dlio does not show which range a service has sent",
        "metadata": "s3dlio writes no metadata",
        "counted-retries": "s3dlio repeats each request some times by itself, and does not tell",
        "counted-parts": "s3dlio repeats parts and pages by itself, and does not tell",
        "lazy-list": "s3dlio lists everything at once, and without sizes: each is asked for",
        "several-services": "s3dlio has one endpoint and one pair of keys for the whole process",
        "virtual-hosts": "s3dlio names the bucket in the path alone",
        "anonymous": "s3dlio signs every request",
        "renewed-credentials": "s3dlio keeps the keys that it began with",
    }

    def __init__(self, service: S3Service, bucket: str, prefix: str) -> None:
        self._s3dlio = _import_library()
        _require_what_it_can(service)
        _LENDER.lend(service, bucket, self._s3dlio)
        self._root = f"s3://{bucket}/{prefix}/" if prefix else f"s3://{bucket}/"

    @property
    def retries(self) -> int:
        """Nothing: the library does not tell."""
        return 0

    def get(self, key: str, start: int, length: int | None) -> Answer:
        """See `ObjectClient.get`."""
        uri = self._root + key
        with _TRANSLATED:
            if length is None and not start:
                data = self._s3dlio.get(uri)
            else:
                data = self._s3dlio.get_range(uri, start, length)
        first_byte_s = time.perf_counter()
        view = memoryview(data)
        if length is not None and view.nbytes > length:
            raise ObjectFailure(Kind.BROKEN_OFF, f"{view.nbytes} bytes came instead of {length}")
        end = start + view.nbytes
        # What the service said is not told. A range that is full may be the whole object or not.
        size_bytes = end + 1 if view.nbytes == length else end
        return Answer(view, start, end, size_bytes, first_byte_s=first_byte_s)

    def get_into(self, key: str, target: memoryview, start: int) -> Answer:
        """See `ObjectClient.get_into`."""
        answer = self.get(key, start, target.nbytes)
        target[: answer.end - start] = answer.data
        return answer

    def head(self, key: str) -> int:
        """See `ObjectClient.head`."""
        with _TRANSLATED:
            return int(self._s3dlio.stat(self._root + key)["size"])

    def put(self, key: str, body: bytearray, digest: str) -> None:
        """See `ObjectClient.put`; the digest is left out."""
        del digest
        with _TRANSLATED:
            self._s3dlio.put_bytes(self._root + key, body)

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
            writer = self._s3dlio.MultipartUploadWriter.from_uri(
                self._root + key, part_size=part_bytes, max_in_flight=CONCURRENT_PARTS
            )
        try:
            for part in parts:
                with _TRANSLATED:
                    writer.write(part)
            with _TRANSLATED:
                writer.close()
        except BaseException:
            with contextlib.suppress(RuntimeError):
                writer.abort()
            raise

    def pages(
        self, folder: str, on_retry: Callable[[], None] | None = None
    ) -> Iterator[list[ObjectStat]]:
        """See `ObjectClient.pages`."""
        del on_retry
        wanted = f"{self._root}{folder}/" if folder else self._root
        with _TRANSLATED:
            found = self._s3dlio.list(self._above(wanted)[0], recursive=True)
        uris = [uri for uri in found if uri.startswith(wanted) and not uri.endswith("/")]
        for first in range(0, len(uris), LIST_PAGE):
            yield self._stats(uris[first : first + LIST_PAGE])

    def folders(self, on_retry: Callable[[], None] | None = None) -> list[str]:
        """See `ObjectClient.folders`."""
        del on_retry
        with _TRANSLATED:
            above, is_same = self._above(self._root)
            found = self._s3dlio.list(above, recursive=not is_same)
        inside = (uri[len(self._root) :] for uri in found if uri.startswith(self._root))
        return sorted({name.partition("/")[0] for name in inside if "/" in name})

    def delete(self, key: str) -> None:
        """See `ObjectClient.delete`."""
        with _TRANSLATED:
            self._s3dlio.delete(self._root + key)

    def close(self) -> None:
        """See `ObjectClient.close`: the library keeps its connections until the process ends."""

    @staticmethod
    def _above(folder: str) -> tuple[str, bool]:
        """Return the folder to list for what is below `folder`, and whether it is the same.

        An asterisk would be taken for a pattern.
        """
        above = folder.partition("*")[0].rpartition("/")[0] + "/"
        return above, above == folder

    def _stats(self, uris: list[str]) -> list[ObjectStat]:
        async def ask() -> list[Any]:
            return await asyncio.gather(*(self._s3dlio.head_async(uri) for uri in uris))

        with _TRANSLATED:
            found = asyncio.run(ask())
        return [
            ObjectStat(uri[len(self._root) :], int(head.size))
            for uri, head in zip(uris, found, strict=True)
            if head is not None  # deleted meanwhile
        ]


_OF_THE_USER: Final = (
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    *("AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "S3DLIO_UNSIGNED_PAYLOAD"),
)
"""What is set to nothing unless we set it: it has been read already."""


class _Lender:
    """Gives the library what it takes from variables, for as long as it takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lent: dict[str, str] = {}

    def lend(self, service: S3Service, bucket: str, s3dlio: Any) -> None:
        """Let the library connect to `service`, the first time; refuse another one later."""
        variables = _variables(service)
        with self._lock:
            if self._lent and self._lent != variables:
                raise UserError(
                    "s3dlio can use one service in a process, and this is a second one",
                    where=service.name,
                    meaning=S3dlioClient.lacks["several-services"],
                    advice="use another client for one of them, or another process",
                )
            if not self._lent:
                self._connect(variables, bucket, s3dlio)
                self._lent = variables

    def _connect(self, variables: dict[str, str], bucket: str, s3dlio: Any) -> None:
        """Send a first request while the variables are set: the library keeps what it found."""
        touched = {*variables, *_OF_THE_USER}
        before = {name: os.environ[name] for name in touched & os.environ.keys()}
        for name in before:
            del os.environ[name]
        os.environ.update(variables)
        try:
            s3dlio.exists(f"s3://{bucket}/cm4storage-first-request")
        finally:
            for name in touched & os.environ.keys():
                del os.environ[name]
            os.environ.update(before)


_LENDER: Final = _Lender()


def _variables(service: S3Service) -> dict[str, str]:
    keys, endpoint = service.keys(), service.endpoint_url
    variables = {
        "AWS_REGION": service.region,
        "AWS_DEFAULT_REGION": service.region,
        "AWS_CA_BUNDLE": service.ca_bundle,
        "AWS_ENDPOINT_URL": endpoint or f"https://s3.{service.region}.amazonaws.com",
    }
    if keys is not None:
        variables["AWS_ACCESS_KEY_ID"] = keys.access_key_id
        variables["AWS_SECRET_ACCESS_KEY"] = keys.secret_access_key
        variables["AWS_SESSION_TOKEN"] = keys.session_token or ""
        variables["AWS_CONFIG_FILE"] = variables["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    if endpoint and is_loopback(endpoint):
        variables["NO_PROXY"] = variables["no_proxy"] = f"localhost,127.0.0.1,{host_of(endpoint)}"
    if not endpoint or not endpoint.startswith("http://") or is_loopback(endpoint):
        variables["S3DLIO_UNSIGNED_PAYLOAD"] = "1"
    return {name: value for name, value in variables.items() if value}


def _require_what_it_can(service: S3Service) -> None:
    wanted = {"virtual-hosts": service.virtual_hosts, "anonymous": service.anonymous}
    for capability, is_wanted in wanted.items():
        if is_wanted:
            raise UserError(
                "the client s3dlio cannot do what the settings of S3 ask for",
                where=service.name,
                meaning=S3dlioClient.lacks[capability],
                advice="use another client",
            )


def failure_of(error: Exception) -> ObjectFailure:
    """Read an error of the library: most are a RuntimeError, and only their text differs."""
    text = redact_url(str(error))
    found = _SERVICE_ERROR.search(text) or _OTHER_SERVICE_ERROR.search(text)
    code, message = found.groups() if found else ("", text)
    code = "" if code == "unknown" else code
    by_text = _STATUS.search(text)
    status = int(by_text.group(1)) if by_text else _STATUS_BY_CODE.get(code)
    return ObjectFailure(
        _kind(code, status, text), message[:LONGEST_MESSAGE], status=status, code=code
    )


def _kind(code: str, status: int | None, text: str) -> Kind:
    if code in _KINDS_BY_CODE:
        return _KINDS_BY_CODE[code]
    if status is not None:
        return _KINDS_BY_STATUS.get(status, Kind.ANSWERED)
    return Kind.ANSWERED if code else _unanswered(text)


def _unanswered(text: str) -> Kind:
    if "certificate" in text:
        return Kind.UNTRUSTED
    if "redential" in text:
        return Kind.NO_CREDENTIALS
    if "(Connect)" in text:
        return Kind.UNREACHABLE
    return Kind.SILENT if "timeout" in text else Kind.BROKEN_OFF


_TRANSLATED: Final = Translated(failure_of, (RuntimeError, ValueError, OSError))


def _import_library() -> Any:
    try:
        import s3dlio
    except ImportError as error:
        raise UserError(
            "the client s3dlio is not installed",
            meaning=f"the package s3dlio cannot be imported: {error}",
            advice="pip install 'cm4storage[s3dlio]' (Python 3.11 or newer)",
        ) from error
    _require_tried_version()
    return s3dlio


_TRIED: Final = "0.10."


def _require_tried_version() -> None:
    version = importlib.metadata.version("s3dlio")
    if not version.startswith(_TRIED):
        raise UserError(
            f"s3dlio {version} is not supported",
            meaning=f"errors are told by their texts, which are known of {_TRIED}x alone",
            advice="pip install 'cm4storage[s3dlio]'",
        )
