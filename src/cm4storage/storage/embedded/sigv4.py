"""Signed S3 requests with the standard library, for what needs no object client."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

_EMPTY_DIGEST: Final = hashlib.sha256(b"").hexdigest()
_REGION: Final = "us-east-1"
_SIGNED_HEADERS: Final = "host;x-amz-content-sha256;x-amz-date"


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret, which never shows in a repr."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


def request(
    method: str,
    endpoint_url: str,
    path: str,
    credentials: Credentials,
    *,
    query: str = "",
    timeout_s: float = 10.0,
) -> int:
    """Send a request without a body, past any proxy; return the answer's status.

    Parameters
    ----------
    query : str
        Already in canonical form: encoded, and its names sorted.

    Raises
    ------
    OSError
        If the service cannot be reached or does not speak HTTP.
    """
    host = urlsplit(endpoint_url).netloc
    encoded = quote(path)
    now = datetime.datetime.now(datetime.timezone.utc)
    headers = _signed_headers(method, host, encoded, query, credentials, now)
    connection = http.client.HTTPConnection(host, timeout=timeout_s)
    try:
        connection.request(method, f"{encoded}?{query}" if query else encoded, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except http.client.HTTPException as error:
        raise OSError(f"the service does not speak HTTP: {error!r}") from error
    finally:
        connection.close()


def _signed_headers(
    method: str,
    host: str,
    path: str,
    query: str,
    credentials: Credentials,
    now: datetime.datetime,
) -> dict[str, str]:
    time_text = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time_text[:8]}/{_REGION}/s3/aws4_request"
    canonical = (
        f"{method}\n{path}\n{query}\n"
        f"host:{host}\nx-amz-content-sha256:{_EMPTY_DIGEST}\nx-amz-date:{time_text}\n\n"
        f"{_SIGNED_HEADERS}\n{_EMPTY_DIGEST}"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (time_text[:8], _REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{time_text}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        "Host": host,
        "x-amz-content-sha256": _EMPTY_DIGEST,
        "x-amz-date": time_text,
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
            f"SignedHeaders={_SIGNED_HEADERS}, Signature={signature}"
        ),
    }
