"""Requests through azure-storage-blob, Microsoft's own library."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cm4storage.core.errors import UserError
from cm4storage.core.units import MIB
from cm4storage.storage.objects import service as services
from cm4storage.storage.objects.client import DIGEST_NAME, LIST_PAGE, Answer
from cm4storage.storage.objects.failure import (
    KINDS_BY_STATUS,
    LONGEST_MESSAGE,
    Kind,
    ObjectFailure,
)
from cm4storage.storage.objects.sending import Parts
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cm4storage.storage.objects.azure_service import AzureService
    from cm4storage.storage.objects.retrying import Retrier

T = TypeVar("T")

# The library fetches more than this in several requests; its default of 32 and 4 MiB is slower.
_SINGLE_GET_BYTES: Final = 64 * MIB
_SINGLE_PUT_BYTES: Final = 256 * MIB
_SOCKET_BLOCK_BYTES: Final = MIB
_CONNECTIONS: Final = 128
_NO_CONTAINER: Final = frozenset({"ContainerNotFound", "ContainerBeingDeleted"})
_KINDS_BY_STATUS: Final = KINDS_BY_STATUS | {
    412: Kind.BROKEN_OFF,  # the object was replaced between two requests of one read
}


class _Answers:
    """What the answers to one GET say by themselves, before the library edits it."""

    def __init__(self) -> None:
        self._raw: list[Any] = []
        self.content_range = ""
        self.first_byte_s = 0.0

    def note(self, response: Any) -> None:
        """Take a look at an answer whose body has not been read."""
        if not self._raw:
            self.first_byte_s = time.perf_counter()
            self.content_range = response.http_response.headers.get("Content-Range", "")
        self._raw.append(response.http_response.internal_response)

    def close(self) -> None:
        """Free the connections of bodies that the library found no use for."""
        for raw in self._raw:
            raw.close()


class AzureSdkClient:
    """An `ObjectClient` over a container client of azure-storage-blob.

    Parameters
    ----------
    service : AzureService
        Endpoint and credentials.
    container, prefix : str
        Where the objects are.
    retrier : Retrier
        For the parts of large objects and the pages of listings, which are tried again in here.
    """

    name = "azure-storage-blob"
    lacks: Mapping[str, str] = {
        "read-into": "azure-storage-blob holds each answer in memory before it hands it over",
    }

    def __init__(
        self, service: AzureService, container: str, prefix: str, retrier: Retrier
    ) -> None:
        self._redacted = service.redacted
        self._root = f"{prefix}/" if prefix else ""
        self._retrier = retrier
        self._session = _session(service)
        self._container = _container_client(service, container, self._session)

    @property
    def retries(self) -> int:
        """How many parts and pages have been asked for again."""
        return self._retrier.count

    def get(self, key: str, start: int, length: int | None) -> Answer:
        """See `ObjectClient.get`."""
        seen = _Answers()
        offset = None if start == 0 and length is None else start

        def fetch() -> tuple[Any, bytes]:
            with contextlib.closing(seen):
                found = self._container.download_blob(
                    self._root + key,
                    offset=offset,
                    length=length,
                    max_concurrency=1,
                    raw_response_hook=seen.note,
                )
                return found, found.readall()

        found, data = self._do(fetch)
        size_bytes = int(found.properties.content_range.rpartition("/")[2])
        begin = _begin_of(seen.content_range)
        digest = (found.properties.metadata or {}).get(DIGEST_NAME, "")
        return Answer(data, begin, begin + found.size, size_bytes, digest, seen.first_byte_s)

    def get_into(self, key: str, target: memoryview, start: int) -> Answer:
        """See `ObjectClient.get_into`."""
        answer = self.get(key, start, target.nbytes)
        count = len(answer.data)
        target[:count] = answer.data
        return Answer(
            target[:count],
            answer.begin,
            answer.end,
            answer.size_bytes,
            answer.digest,
            answer.first_byte_s,
        )

    def head(self, key: str) -> int:
        """See `ObjectClient.head`."""
        blob = self._container.get_blob_client(self._root + key)
        return int(self._do(blob.get_blob_properties).size)

    def put(self, key: str, body: bytearray, digest: str) -> None:
        """See `ObjectClient.put`."""
        blob = self._container.get_blob_client(self._root + key)
        metadata = {DIGEST_NAME: digest} if digest else None
        data = bytes(body)  # of what it is given otherwise, the library makes an iterator
        self._do(lambda: blob.upload_blob(data, overwrite=True, metadata=metadata))

    def put_parts(
        self,
        key: str,
        parts: Iterator[bytearray],
        part_bytes: int,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """See `ObjectClient.put_parts`: blocks that nobody sees until they are committed."""
        del part_bytes
        blob = self._container.get_blob_client(self._root + key)
        # Two writers of one object must not mix their blocks; all names are equally long.
        upload = secrets.token_hex(7)

        def stage(number: int, body: bytearray) -> str:
            name = f"{upload}{number:06}"
            blob.stage_block(name, bytes(body), length=len(body))
            return name

        with Parts(stage, lambda request: self._persist(request, on_retry)) as staged:
            for part in parts:
                staged.add(part)
        names = staged.results
        self._persist(lambda: blob.commit_block_list(_blocks(names)), on_retry)

    def pages(
        self, folder: str, on_retry: Callable[[], None] | None = None
    ) -> Iterator[list[ObjectStat]]:
        """See `ObjectClient.pages`."""
        begin = self._root + (f"{folder}/" if folder else "")
        found = self._container.list_blobs(
            name_starts_with=begin, include=["metadata"], results_per_page=LIST_PAGE
        )
        for page in self._each_page(found, on_retry):
            yield [
                ObjectStat(item.name[len(self._root) :], item.size)
                for item in page
                if not _is_folder(item)
            ]

    def folders(self, on_retry: Callable[[], None] | None = None) -> list[str]:
        """See `ObjectClient.folders`."""
        from azure.storage.blob import BlobPrefix

        level = self._container.walk_blobs(name_starts_with=self._root, delimiter="/")
        return [
            item.name[len(self._root) :].rstrip("/")
            for page in self._each_page(level, on_retry)
            for item in page
            if isinstance(item, BlobPrefix)
        ]

    def delete(self, key: str) -> None:
        """See `ObjectClient.delete`."""
        self._do(self._container.get_blob_client(self._root + key).delete_blob)

    def close(self) -> None:
        """See `ObjectClient.close`."""
        self._retrier.close()
        self._session.close()

    def _each_page(self, found: Any, on_retry: Callable[[], None] | None) -> Iterator[list[Any]]:
        pages = found.by_page()
        while (page := self._persist(lambda: _next_page(pages), on_retry)) is not None:
            if page:
                yield page

    def _persist(self, request: Callable[[], T], on_retry: Callable[[], None] | None) -> T:
        return self._retrier.call(lambda: self._do(request), on_retry)

    def _do(self, request: Callable[[], T]) -> T:
        """Send a request; what fails loses the library's errors, whose texts hold signatures."""
        try:
            return request()
        except ObjectFailure as failure:
            failure.message = self._redacted(failure.message)[:LONGEST_MESSAGE]
            failure.args = (failure.message,)
            raise
        except Exception as error:  # noqa: BLE001 - the library lets those of others through, too
            raise failure_of(error, self._redacted) from None


_FIRST_REFUSAL: Final = 300


def failure_of(error: Exception, redacted: Callable[[str], str] = str) -> ObjectFailure:
    """Read an error of the library; what is no error of its is a defect, and raised."""
    from azure.core import exceptions

    if isinstance(error, ValueError) and "Content-Range" in str(error):
        return ObjectFailure(Kind.BROKEN_OFF, "the service did not say which bytes it sent")
    if isinstance(error, ValueError) and type(error).__name__ == "DeserializationError":
        return ObjectFailure(Kind.BROKEN_OFF, "the head of the answer makes no sense")
    if not isinstance(error, exceptions.AzureError):
        # The library itself stumbles over answers without Azure's codes, as gateways give them.
        if not isinstance(error.__context__, exceptions.HttpResponseError):
            raise error
        error = error.__context__
    message = redacted(_message_of(error))[:LONGEST_MESSAGE]  # a part of a secret is not found
    status = getattr(error, "status_code", None)
    if status is None or status < _FIRST_REFUSAL:  # else what it sent was cut off
        return ObjectFailure(_unanswered(error), message)
    code = getattr(error, "error_code", None) or ""
    code = str(getattr(code, "value", code))
    kind = _KINDS_BY_STATUS.get(status, Kind.ANSWERED)
    return ObjectFailure(
        Kind.NO_CONTAINER if code in _NO_CONTAINER else kind, message, status=status, code=code
    )


def _unanswered(error: Exception) -> Kind:
    """Return what it means that a request met no answer, or half of one."""
    from azure.core import exceptions

    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Kind.UNTRUSTED
    if isinstance(error, exceptions.ServiceRequestError):
        return Kind.BROKEN_OFF if "SSLError" in str(error) else Kind.UNREACHABLE
    is_late = isinstance(error, exceptions.ServiceResponseTimeoutError)
    return Kind.SILENT if is_late or "Read timed out" in str(error) else Kind.BROKEN_OFF


class _Body:
    """The body of an answer, which fails for good where it breaks off.

    The library would fetch it again up to three times, without telling.
    """

    def __init__(self, body: Any) -> None:
        self._body = body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._body)  # type: ignore[no-any-return]
        except StopIteration:
            raise
        except Exception as error:  # noqa: BLE001 - whichever: the bytes have not all come
            raise ObjectFailure(_unanswered(error), _message_of(error)) from None


def _session(service: AzureService) -> Any:
    """Return a pool of connections that is as large as the loader may be wide."""
    import_library()
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.trust_env = not service.is_loopback  # proxies cannot reach this machine's loopback
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=0))
    return session


def _container_client(service: AzureService, container: str, session: Any) -> Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    from azure.core.pipeline.transport import RequestsTransport
    from azure.storage.blob import ContainerClient

    transport: Any = RequestsTransport(
        session=session,
        session_owner=False,
        use_env_settings=not service.is_loopback,
        connection_timeout=services.CONNECT_TIMEOUT_S,
        read_timeout=services.READ_TIMEOUT_S,
        connection_data_block_size=_SOCKET_BLOCK_BYTES,
        connection_verify=_certificates(),
    )
    send = transport.send
    transport.send = lambda request, **options: _with_plain_body(send(request, **options))
    credential = (
        AzureNamedKeyCredential(service.account, service.key)
        if service.key
        else AzureSasCredential(service.sas_token or "")
    )
    return ContainerClient(
        service.endpoint_url,
        container,
        credential=credential,
        transport=transport,
        retry_total=0,
        max_single_get_size=_SINGLE_GET_BYTES,
        max_chunk_get_size=_SINGLE_GET_BYTES,
        max_single_put_size=_SINGLE_PUT_BYTES,
    )


def _with_plain_body(response: Any) -> Any:
    download = response.stream_download
    response.stream_download = lambda pipeline, **options: _Body(download(pipeline, **options))
    return response


def _certificates() -> str | bool:
    """Return the authorities that the environment names, as obstore takes them; else the usual."""
    return os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or True


def _begin_of(content_range: str) -> int:
    """Return where the bytes of an answer begin; the whole object's answer may not say."""
    begin = content_range.removeprefix("bytes ").partition("-")[0]
    return int(begin) if begin.isdecimal() else 0


def _blocks(names: list[str]) -> list[Any]:
    from azure.storage.blob import BlobBlock

    return [BlobBlock(name) for name in names]


def _is_folder(item: Any) -> bool:
    """Tell whether an item is a folder: those of a hierarchical namespace are listed as blobs."""
    return item.name.endswith("/") or (item.metadata or {}).get("hdi_isfolder") == "true"


def _next_page(pages: Any) -> list[Any] | None:
    page = next(pages, None)
    return None if page is None else list(page)


def _message_of(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def import_library() -> None:
    """Import azure-storage-blob.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        import azure.storage.blob  # noqa: F401
    except ImportError as error:
        raise UserError(
            "the client azure-storage-blob is not installed",
            meaning=f"it cannot be imported: {error}",
            advice="pip install 'cm4storage[azure]'",
        ) from error
    # Its remarks about transfers that break off would reach the terminal beside our report.
    logger = logging.getLogger("azure")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
