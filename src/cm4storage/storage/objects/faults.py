"""What an object service's answers, and its silence, mean to a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.storage.objects.failure import Kind
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from cm4storage.storage.objects.failure import ObjectFailure
    from cm4storage.storage.objects.service import ObjectService

# What happened, what it means, what to do.
_TEXTS: Final[dict[Kind, tuple[str, str, str]]] = {
    Kind.NO_CONTAINER: (
        "the {container} does not exist",
        "",
        "{making}",
    ),
    Kind.NO_OBJECT: ("the object does not exist", "", ""),
    Kind.REFUSED: (
        "cannot {action}: the service refused{code}",
        "{refusal}",
        "check {credentials} and the {container}'s policy",
    ),
    Kind.NO_CREDENTIALS: (
        "cannot {action}: no credentials found",
        "",
        "set {credentials}",
    ),
    Kind.UNREACHABLE: (
        "cannot {action}: the service is not reachable{history}",
        "nothing listens there, a firewall drops the packets, or it has just stopped",
        "check the endpoint and that the service runs",
    ),
    Kind.UNTRUSTED: (
        "cannot {action}: the service's certificate is not trusted",
        "{message}",
        "name the file of its certificate authority in {ca_bundle}, and the host that it is for",
    ),
    Kind.SILENT: (
        "cannot {action}: the service fell silent{history}",
        "it sent nothing until the time was up, or the link is too slow for what was sent to it",
        "check the service's log and load, and the network between",
    ),
    Kind.BROKEN_OFF: (
        "cannot {action}: the transfer broke off{history}",
        "{message}",
        "check the service's log and the network between",
    ),
    Kind.DAMAGED: (
        "cannot {action}: {message}{history}",
        "it was damaged in the storage, or each time on the way",
        "write the object again; check the service's disks and what is between",
    ),
    Kind.ANSWERED: (
        "cannot {action}: the service answered {answer}{history}",
        "{message}",
        "check the service's log and the free space of its disks",
    ),
    Kind.PAST_THE_END: ("cannot {action}: the object ends before that", "", ""),
}
_ABSENT: Final = (Kind.NO_CONTAINER, Kind.NO_OBJECT)
_REFUSALS: Final = {
    "InvalidAccessKeyId": "the service does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "RequestTimeTooSkewed": "this machine's clock and the service's differ too much",
    "ExpiredToken": "the session token has expired",
    "AuthenticationFailed": "the key or the signature is wrong, or has expired",
    "AuthorizationFailure": "the key or the signature is wrong, or the network is not allowed",
    "AuthorizationPermissionMismatch": "the signature does not allow this",
    "NoAuthenticationInformation": "the request had no credentials",
    "AccountIsDisabled": "the account is disabled",
}
_FORBIDDEN: Final = "the credentials are wrong, or lack the permission"


def object_fault(
    failure: ObjectFailure, action: str, where: str, service: ObjectService
) -> StorageFault:
    """Return the fault that tells a user why `action` on the object `where` failed."""
    fields = {
        "action": action,
        "message": failure.message,
        "history": _history(failure),
        "code": f" ({failure.code})" if failure.code else "",
        "answer": " ".join(str(part) for part in (failure.status, failure.code) if part),
        "refusal": _REFUSALS.get(failure.code, _FORBIDDEN),
        "container": service.words.container,
        "credentials": service.words.credentials,
        "ca_bundle": service.words.ca_bundle,
        "making": _how_to_make(where, service),
    }
    what, meaning, advice = (text.format_map(fields) for text in _TEXTS[failure.kind])
    make = MissingObject if failure.kind in _ABSENT else StorageFault
    return make(what, where=f"{where} at {service.name}", meaning=meaning, advice=advice)


def _how_to_make(where: str, service: ObjectService) -> str:
    """Return how to create the bucket or container that is missing."""
    if not service.words.making:
        return "create it, or check its name"
    name = where.partition("://")[2].partition("/")[0]
    option = f" --endpoint-url {service.name}" if "://" in service.name else ""
    command = service.words.making.format(container_name=name, endpoint_option=option)
    return f"check its name, or create it: {command}"


def _history(failure: ObjectFailure) -> str:
    if not failure.retries:
        return ""
    return f" after {failure.retries} retries in {failure.elapsed_s:.1f}s"
