"""What an S3 service's answers, and its silence, mean to a user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cm4storage.core.errors import StorageFault, redact_url
from cm4storage.storage.store import MissingObject

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_RETRIES = re.compile(r"in ([\d.]+\S*?s), after (\d+) retries")

_REFUSED: Final = {
    "InvalidAccessKeyId": "the service does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "RequestTimeTooSkewed": "this machine's clock and the service's differ too much",
    "ExpiredToken": "the session token has expired",
}
_FORBIDDEN: Final = "the credentials are wrong, or lack the permission"


@dataclass(frozen=True)
class Failure:
    """What a client's error says, without its debug part."""

    status: int | None
    code: str
    message: str
    is_absent: bool
    is_refused: bool

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Read an error of the client."""
        text = str(error).partition("\n\nDebug source")[0]
        status = _first(_STATUS, text)
        kind = type(error).__name__
        return cls(
            status=int(status) if status else None,
            code=_first(_CODE, text),
            message=text,
            is_absent=isinstance(error, FileNotFoundError) or status == "404",
            is_refused=kind in ("PermissionDeniedError", "UnauthenticatedError")
            or status in ("401", "403"),
        )


def s3_fault(error: Exception, action: str, where: str, service: str) -> StorageFault:
    """Return the fault that tells a user why `action` on the object `where` failed."""
    failure = Failure.of(error)
    place = f"{where} at {service}"
    if failure.code == "NoSuchBucket":
        return MissingObject(
            "the bucket does not exist", where=place, advice="create it, or check its name"
        )
    if failure.is_absent:
        return MissingObject("the object does not exist", where=place)
    if failure.is_refused:
        return _refused(failure, action, place)
    if failure.status is None:
        return _no_answer(failure, action, place)
    return _failed(failure, action, place)


def _refused(failure: Failure, action: str, place: str) -> StorageFault:
    code = f" ({failure.code})" if failure.code else ""
    return StorageFault(
        f"cannot {action}: the service refused{code}",
        where=place,
        meaning=_REFUSED.get(failure.code, _FORBIDDEN),
        advice="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    )


def _no_answer(failure: Failure, action: str, place: str) -> StorageFault:
    if "169.254.169.254" in failure.message or "metadata" in failure.message.lower():
        return StorageFault(
            f"cannot {action}: no credentials found",
            where=place,
            advice="export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    retries = _RETRIES.search(failure.message)
    tried = f" after {retries.group(2)} retries in {_seconds(retries.group(1))}" if retries else ""
    if "error sending request" in failure.message:
        return StorageFault(
            f"cannot {action}: the service is not reachable{tried}",
            where=place,
            meaning="nothing listens there, a firewall drops the packets, or it has just stopped",
            advice="check the endpoint and that the service runs",
        )
    return StorageFault(
        f"cannot {action}: the transfer broke off{tried}",
        where=place,
        meaning=_detail(failure.message),
        advice="check the service's log and the network between",
    )


def _failed(failure: Failure, action: str, place: str) -> StorageFault:
    code = f" {failure.code}" if failure.code else ""
    said = _first(_MESSAGE, failure.message)
    return StorageFault(
        f"cannot {action}: the service answered {failure.status}{code}",
        where=place,
        meaning=said,
        advice="check the service's log and the free space of its disks",
    )


def _detail(message: str) -> str:
    return redact_url(message.removeprefix("Generic S3 error: ").splitlines()[0])[:300]


def _seconds(text: str) -> str:
    """Shorten the client's ``2.076817236s`` to ``2.1s``."""
    number = re.match(r"[\d.]+", text)
    return f"{float(number.group()):.1f}{text[number.end() :]}" if number else text


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""
