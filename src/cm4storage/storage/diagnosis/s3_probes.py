"""Probes of S3 alone, which no client offers: checksums that are verified, uploads left open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_count
from cm4storage.storage.diagnosis.findings import NotTried, Observation, Probe
from cm4storage.storage.embedded import sigv4
from cm4storage.storage.objects.s3_service import S3Service

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.bench import Bench

# Well-formed checksums of something else than what is sent with them.
_WRONG: Final = {
    "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
}
_UPLOAD: Final = re.compile(rb"<Key>([^<]*)</Key>\s*<UploadId>([^<]*)</UploadId>")


def _send_wrong_checksums(bench: Bench) -> Observation:
    key = bench.key("checksum")
    path = f"/{bench.location.bucket}/{_prefixed(bench, key)}"
    refused = []
    for header, value in _WRONG.items():
        message = sigv4.Message("PUT", path, headers={header.lower(): value}, body=b"content")
        status = _send(bench, message).status
        if status in (401, 403):
            raise NotTried(f"the service answered {status} to a request signed here")
        if status >= 400:
            refused.append(header)
    figures = {"verifies": refused}
    if not refused:
        return Observation("none is verified: wrong ones are taken, too", figures)
    return Observation(f"wrong ones are refused: {', '.join(refused)}", figures)


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
        return sigv4.send(message, endpoint.url, _credentials(bench))
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
