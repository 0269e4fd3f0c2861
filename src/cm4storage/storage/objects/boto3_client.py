"""Requests through boto3, Amazon's own library for Python."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cm4storage.core.errors import UserError, redact_url
from cm4storage.storage.objects import service as services
from cm4storage.storage.objects.boto3_faults import failure_of
from cm4storage.storage.objects.client import DIGEST_NAME, Answer
from cm4storage.storage.objects.failure import Kind, ObjectFailure, Translated
from cm4storage.storage.objects.s3_clients import is_amazon
from cm4storage.storage.objects.sending import Parts
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cm4storage.storage.objects.retrying import Retrier
    from cm4storage.storage.objects.s3_service import S3Service

T = TypeVar("T")

_CONNECTIONS: Final = 256
"""More than any loader has threads: the library drops connections that do not fit its pool."""

_TRANSLATED: Final = Translated(failure_of)
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NOTHING_OF_THE_USER: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Boto3Client:
    """An `ObjectClient` over one of boto3's clients, which threads share.

    Parameters
    ----------
    service : S3Service
        Where, and who we are there.
    bucket : str
        The bucket's name.
    prefix : str
        What stands before every key, without a final ``/``; may be empty.
    retrier : Retrier
        For the parts of large objects, which are repeated in here.
    """

    name = "boto3"
    lacks: Mapping[str, str] = {}

    def __init__(self, service: S3Service, bucket: str, prefix: str, retrier: Retrier) -> None:
        self._s3 = make_client(service)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._retrier = retrier

    @property
    def retries(self) -> int:
        """How many parts have been sent again."""
        return self._retrier.count

    def get(self, key: str, start: int, length: int | None) -> Answer:
        """See `ObjectClient.get`."""
        with _TRANSLATED:
            answer, first_byte_s = self._open(key, start, length)
            begin, end, size_bytes = _range_of(answer)
            data = bytearray(end - begin)
            done = _fill(answer["Body"], memoryview(data))
            digest = answer["Metadata"].get(DIGEST_NAME, "")
            return Answer(memoryview(data)[:done], begin, end, size_bytes, digest, first_byte_s)

    def get_into(self, key: str, target: memoryview, start: int) -> Answer:
        """See `ObjectClient.get_into`."""
        with _TRANSLATED:
            answer, first_byte_s = self._open(key, start, target.nbytes)
            begin, end, size_bytes = _range_of(answer)
            done = _fill(answer["Body"], target[: end - begin])
            digest = answer["Metadata"].get(DIGEST_NAME, "")
            return Answer(target[:done], begin, end, size_bytes, digest, first_byte_s)

    def head(self, key: str) -> int:
        """See `ObjectClient.head`."""
        with _TRANSLATED:
            answer = self._s3.head_object(**self._at(key))
        return _range_of(answer)[2]

    def put(self, key: str, body: bytearray, digest: str) -> None:
        """See `ObjectClient.put`."""
        metadata = {DIGEST_NAME: digest} if digest else {}
        with _TRANSLATED:
            self._s3.put_object(**self._at(key), Body=body, Metadata=metadata)

    def put_parts(
        self,
        key: str,
        parts: Iterator[bytearray],
        part_bytes: int,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """See `ObjectClient.put_parts`."""
        del part_bytes  # the parts have it
        s3, place = self._s3, self._at(key)
        repeat = functools.partial(self._repeated, on_retry=on_retry)
        place["UploadId"] = repeat(lambda: s3.create_multipart_upload(**place))["UploadId"]

        def upload(number: int, body: bytearray) -> dict[str, Any]:
            sent = s3.upload_part(**place, PartNumber=number, Body=body)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        try:
            with Parts(upload, repeat) as sent:
                for part in parts:
                    sent.add(part)
            made = {"Parts": sent.results}
            repeat(lambda: s3.complete_multipart_upload(**place, MultipartUpload=made))
        except BaseException as error:
            # A service that has failed until the time was up gets one more chance, no more time.
            has_time = not (isinstance(error, ObjectFailure) and error.retries)
            with contextlib.suppress(ObjectFailure), _TRANSLATED:
                abort = functools.partial(s3.abort_multipart_upload, **place)
                repeat(abort) if has_time else abort()
            raise

    def pages(
        self, folder: str, on_retry: Callable[[], None] | None = None
    ) -> Iterator[list[ObjectStat]]:
        """See `ObjectClient.pages`."""
        del on_retry  # what fails is not asked for again in here
        for page in self._listing(f"{self._prefix}{folder}/" if folder else self._prefix):
            yield [
                ObjectStat(item["Key"][len(self._prefix) :], item["Size"])
                for item in page.get("Contents", ())
                if not item["Key"].endswith("/")  # a folder that a browser of objects has made
            ]

    def folders(self, on_retry: Callable[[], None] | None = None) -> list[str]:
        """See `ObjectClient.folders`."""
        del on_retry
        return [
            item["Prefix"][len(self._prefix) : -1]
            for page in self._listing(self._prefix, Delimiter="/")
            for item in page.get("CommonPrefixes", ())
        ]

    def delete(self, key: str) -> None:
        """See `ObjectClient.delete`."""
        with _TRANSLATED:
            self._s3.delete_object(**self._at(key))

    def close(self) -> None:
        """See `ObjectClient.close`."""
        self._retrier.close()
        self._s3.close()

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _open(self, key: str, start: int, length: int | None) -> tuple[Any, float]:
        options = {}
        if length is not None:
            options["Range"] = f"bytes={start}-{start + length - 1}"
        elif start:
            options["Range"] = f"bytes={start}-"
        answer = self._s3.get_object(**self._at(key), **options)
        return answer, time.perf_counter()

    def _listing(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing; each is asked for when the one before is used up."""
        while True:
            with _TRANSLATED:
                page = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _repeated(self, request: Callable[[], T], on_retry: Callable[[], None] | None = None) -> T:
        def attempt() -> T:
            with _TRANSLATED:
                return request()

        return self._retrier.call(attempt, on_retry)


def make_client(service: S3Service) -> Any:
    """Return boto3's client for `service`, which tries nothing again by itself.

    Raises
    ------
    UserError
        If boto3 is not installed, or refuses a setting.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as error:
        raise UserError(
            "the client boto3 is not installed",
            meaning=f"the package boto3 cannot be imported: {error}",
            advice="pip install 'cm4storage[s3]'",
        ) from error
    has_own_keys = service.access_key_id is not None
    core = Session(session_vars=_NOTHING_OF_THE_USER if has_own_keys else None)
    core.register_component("data_loader", _descriptions())
    try:
        return boto3.session.Session(botocore_session=core).client(
            "s3",
            region_name=service.region,
            endpoint_url=service.endpoint_url,
            aws_access_key_id=service.access_key_id,
            aws_secret_access_key=service.secret_access_key,
            verify=service.ca_bundle or None,
            config=_configuration(service),
        )
    except (BotoCoreError, ValueError) as error:  # a malformed region, endpoint or configuration
        raise UserError(
            f"boto3 refuses the settings of S3: {redact_url(str(error))}",
            where=service.name,
            advice="correct AWS_REGION, AWS_ENDPOINT_URL and what AWS_CONFIG_FILE holds",
        ) from error


@functools.cache
def _descriptions() -> Any:
    """Return what reads the description of S3 and keeps it: most of a client's start."""
    from botocore.loaders import create_loader

    return create_loader()


def _configuration(service: S3Service) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    style = "path" if service.endpoint_url else "auto"
    # CRC-32 on top of SigV4's SHA-256 or of TLS costs a fifth of a PUT, and not every service that
    # speaks S3 knows it; Amazon's does.
    checksums = "when_supported" if is_amazon(service.endpoint_url) else "when_required"
    options: dict[str, Any] = {}
    if service.anonymous:
        options["signature_version"] = UNSIGNED
    if service.endpoint_url and services.is_loopback(service.endpoint_url):
        options["proxies"] = {}  # one that the environment names cannot reach our loopback
    return Config(
        connect_timeout=services.CONNECT_TIMEOUT_S,
        read_timeout=services.READ_TIMEOUT_S,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": "virtual" if service.virtual_hosts else style},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        **options,
    )


def _range_of(answer: dict[str, Any]) -> tuple[int, int, int]:
    """Return the range that the service says it sends, and the size of the whole object."""
    found = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
    if found:
        first, last, size_bytes = map(int, found.groups())
        return first, last + 1, size_bytes
    if "ContentLength" not in answer:
        raise ObjectFailure(Kind.BROKEN_OFF, "the service does not say how long the object is")
    return 0, answer["ContentLength"], answer["ContentLength"]


def _fill(body: Any, target: memoryview) -> int:
    """Read the body of an answer into `target`; return how much came.

    The connection goes back to its pool, or is closed where the body broke off.
    """
    raw = body._raw_stream
    # The public way copies every byte twice. Bodies that verify a checksum must go that way.
    is_plain = type(body).__name__ == "StreamingBody"
    source: Any = raw._fp if is_plain and hasattr(raw, "_fp") else body
    done = 0
    try:
        while done < target.nbytes and (count := source.readinto(target[done:])):
            done += count
        if done == target.nbytes and source is body:
            body.read(1)  # compares the checksum
    except BaseException:
        body.close()
        raise
    if done == target.nbytes:
        raw.release_conn()
    else:
        body.close()
    return done
