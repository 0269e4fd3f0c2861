"""Signed S3 requests with the standard library, for what needs no object client."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVICE: Final = "s3"


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret, which never shows in a repr."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True)
class Message:
    """A request before it is signed.

    Attributes
    ----------
    method, path : str
    query : str
        Already in canonical form: encoded, and its names sorted.
    headers : mapping
        In lower case.
    body : bytes
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What the service answered."""

    status: int
    body: bytes


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

    Raises
    ------
    OSError
        If the service cannot be reached or does not speak HTTP.
    """
    return send(Message(method, path, query), endpoint_url, credentials, timeout_s).status


def send(
    message: Message,
    endpoint_url: str,
    credentials: Credentials,
    timeout_s: float = 10.0,
    *,
    context: ssl.SSLContext | None = None,
) -> Reply:
    """Sign a request by Signature Version 4, send it past any proxy, and return the answer.

    Parameters
    ----------
    message, endpoint_url, credentials, timeout_s
        What to send, and where to.
    context : SSLContext, optional
        Whom to trust over TLS; default the authorities of the system.

    Raises
    ------
    OSError
        If the service cannot be reached or does not speak HTTP.
    """
    host = urlsplit(endpoint_url).netloc
    encoded = quote(message.path)
    now = datetime.datetime.now(datetime.timezone.utc)
    headers = _signed_headers(message, host, credentials, now)
    connection = _connection(endpoint_url, host, timeout_s, context)
    target = f"{encoded}?{message.query}" if message.query else encoded
    try:
        connection.request(message.method, target, body=message.body or None, headers=headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
    except http.client.HTTPException as error:
        raise OSError(f"the service does not speak HTTP: {error!r}") from error
    finally:
        connection.close()


def _connection(
    endpoint_url: str, host: str, timeout_s: float, context: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    if endpoint_url.startswith("https://"):
        context = context or ssl.create_default_context()
        return http.client.HTTPSConnection(host, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, timeout=timeout_s)


def _signed_headers(
    message: Message, host: str, credentials: Credentials, now: datetime.datetime
) -> dict[str, str]:
    """Return the headers with the signature.

    As "Create a signed AWS API request" of AWS' user guide for Identity and Access Management says.
    """
    time_text = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(message.body).hexdigest()
    headers = {
        **message.headers,
        "host": host,
        "x-amz-content-sha256": digest,
        "x-amz-date": time_text,
    }
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    signed = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = (
        f"{message.method}\n{quote(message.path)}\n{message.query}\n{lines}\n{signed}\n{digest}"
    )
    scope = (time_text[:8], credentials.region, _SERVICE, "aws4_request")
    text = (
        f"AWS4-HMAC-SHA256\n{time_text}\n{'/'.join(scope)}\n"
        f"{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{'/'.join(scope)}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return headers
