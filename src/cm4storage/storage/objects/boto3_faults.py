"""What boto3's errors mean."""

from __future__ import annotations

import functools
from typing import Any, Final

from cm4storage.core.errors import redact_url
from cm4storage.storage.objects.failure import (
    KINDS_BY_STATUS,
    LONGEST_MESSAGE,
    Kind,
    ObjectFailure,
)

_KINDS_BY_CODE: Final = {
    "NoSuchBucket": Kind.NO_CONTAINER,
    "NoSuchKey": Kind.NO_OBJECT,
    "InvalidRange": Kind.PAST_THE_END,
}
_KINDS_BY_NAME: Final = {
    "SSLError": Kind.UNTRUSTED,
    "EndpointConnectionError": Kind.UNREACHABLE,
    "ConnectTimeoutError": Kind.UNREACHABLE,
    "ProxyConnectionError": Kind.UNREACHABLE,
    "ReadTimeoutError": Kind.SILENT,
    "TimeoutError": Kind.SILENT,
    "NoCredentialsError": Kind.NO_CREDENTIALS,
    "PartialCredentialsError": Kind.NO_CREDENTIALS,
    "CredentialRetrievalError": Kind.NO_CREDENTIALS,
    "TokenRetrievalError": Kind.NO_CREDENTIALS,
    "UnauthorizedSSOTokenError": Kind.NO_CREDENTIALS,
    "SSOTokenLoadError": Kind.NO_CREDENTIALS,
    "FlexibleChecksumError": Kind.DAMAGED,
}
_CERTIFICATE: Final = "CERTIFICATE_VERIFY_FAILED"


def failure_of(error: Exception) -> ObjectFailure:
    """Read an error of the library, or of what it sends requests with; raise a defect."""
    if not isinstance(error, _expected()):
        raise error
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _answered(response)
    text = redact_url(str(error))[:LONGEST_MESSAGE]
    kind = _KINDS_BY_NAME.get(type(error).__name__, Kind.BROKEN_OFF)
    if kind is Kind.UNTRUSTED and _CERTIFICATE not in text:
        kind = Kind.BROKEN_OFF  # TLS that broke off
    return ObjectFailure(kind, text)


@functools.cache
def _expected() -> tuple[type[Exception], ...]:
    """Return what a service and the way to it can cause; a ValueError: an unreadable answer."""
    from http.client import HTTPException

    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, ClientError, HTTPError, HTTPException, OSError, ValueError


def _answered(response: dict[str, Any]) -> ObjectFailure:
    error = response.get("Error", {})
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    # The answer to a HEAD has no body: the library repeats the status in place of a code.
    code = str(error.get("Code", ""))
    code = "" if code.isdecimal() else code
    message = redact_url(str(error.get("Message", "")))[:LONGEST_MESSAGE]
    kind = _KINDS_BY_CODE.get(code) or KINDS_BY_STATUS.get(status) or Kind.ANSWERED
    return ObjectFailure(kind, message, status=status, code=code)
