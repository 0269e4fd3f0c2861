"""Probes of S3 alone, which no client offers: checksums that are verified, uploads left open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_count
from cm4storage.storage.diagnosis.findings import NotTried, Observation, Probe
from cm4storage.storage.diagnosis.network import trust_of
from cm4storage.storage.embedded import sigv4
from cm4storage.storage.objects.s3_service import S3Service

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.bench import Bench

_CONTENT: Final = b"content"
# Of the content, and well-formed ones of something else.
_CHECKSUMS: Final = {
    "Content-MD5": ("mgNkuembtIDdJeHwKEyFVQ==", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    "x-amz-checksum-crc32": ("/sUwqQ==", "AAAAAA=="),
    "x-amz-checksum-sha256": (
        "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ),
}
# How S3 says that a checksum does not match.
_MISMATCH: Final = re.compile(
    rb"<Code>(BadDigest|InvalidDigest|XAmzContentChecksumMismatch)</Code>"
)
_UPLOAD: Final = re.compile(rb"<Key>([^<]*)</Key>\s*<UploadId>([^<]*)</UploadId>")


def _send_wrong_checksums(bench: Bench) -> Observation:
    refused = []
    for header, (right, wrong) in _CHECKSUMS.items():
        status = _put(bench, header, right).status
        if status != 200:
            raise NotTried(f"the service answered {status} to right checksums from here")
        answer = _put(bench, header, wrong)
        if answer.status == 400 and _MISMATCH.search(answer.body):
            refused.append(header)
    figures = {"verifies": refused}
    if not refused:
        return Observation("none is verified: wrong ones are taken, too", figures)
    return Observation(f"wrong ones are refused: {', '.join(refused)}", figures)


def _put(bench: Bench, header: str, checksum: str) -> sigv4.Reply:
    with bench.writing("checksum") as writing:
        path = f"/{bench.location.bucket}/{_prefixed(bench, writing.key)}"
        headers = {header.lower(): checksum}
        return _send(bench, sigv4.Message("PUT", path, headers=headers, body=_CONTENT))


def _look_for_uploads(bench: Bench) -> Observation:
    prefix = quote(_prefixed(bench, bench.folder), safe="")
    path = f"/{bench.location.bucket}"
    answer = _send(bench, sigv4.Message("GET", path, f"prefix={prefix}&uploads="))
    if answer.status != 200:
        raise NotTried(f"the service answered {answer.status} when asked for open uploads")
    left = _UPLOAD.findall(answer.body)
    for key, upload in left:
        query = f"uploadId={quote(upload.decode(), safe='')}"
        _send(bench, sigv4.Message("DELETE", f"{path}/{key.decode()}", query))
    if left:
        raise StorageFault(
            f"{format_count(len(left), 'upload')} stayed open after breaking off",
            where=bench.where(bench.folder),
            meaning="the parts that arrived take space that no listing shows",
            advice="let a lifecycle rule of the bucket end incomplete uploads",
        )
    return Observation("no parts of broken uploads stay behind")


def _prefixed(bench: Bench, key: str) -> str:
    return f"{bench.location.prefix}/{key}".lstrip("/")


def _send(bench: Bench, message: sigv4.Message) -> sigv4.Reply:
    endpoint = bench.endpoint
    if endpoint is None or endpoint.proxy:
        raise NotTried("a proxy stands between")
    try:
        credentials, context = _credentials(bench), trust_of(bench)
        return sigv4.send(message, endpoint.url, credentials, context=context)
    except OSError as error:
        raise StorageFault(
            f"the service did not answer: {error}",
            where=endpoint.url,
            advice="check the service's log",
        ) from error


def _credentials(bench: Bench) -> sigv4.Credentials:
    """Return the keys that are known here."""
    service = bench.service
    keys = service.keys() if isinstance(service, S3Service) else None
    if not isinstance(service, S3Service) or keys is None:
        raise NotTried("only with keys from variables or a profile")
    token = keys.session_token or ""
    return sigv4.Credentials(keys.access_key_id, keys.secret_access_key, token, service.region)


PROBES: Final = (
    Probe("open uploads", _look_for_uploads, ("abort",)),
    Probe("checksums", _send_wrong_checksums, ("write",)),
)
