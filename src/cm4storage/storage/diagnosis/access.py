"""Probes of the way into a store: the embedded server, credentials, bucket or container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.diagnosis.bench import Access
from cm4storage.storage.diagnosis.findings import Observation, Probe
from cm4storage.storage.diagnosis.services import credentials_source
from cm4storage.storage.objects.failure import Kind, ObjectFailure
from cm4storage.storage.objects.faults import object_fault
from cm4storage.storage.opening import open_objects
from cm4storage.storage.store import CHECK_LIMIT_S

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.bench import Bench

_SERVER_LIMIT_S: Final = 120.0
# The service knows who asks, but does not let them list.
_MAY_NOT_LIST: Final = frozenset({"AccessDenied", "AuthorizationPermissionMismatch"})


def _open_server(bench: Bench) -> Observation:
    _open_service(bench)
    return Observation(f"runs at {bench.service.name}, with credentials of its own")


def _find_credentials(bench: Bench) -> Observation:
    source = credentials_source(bench.location.scheme)
    try:
        _open_service(bench)
    except UserError as error:
        if source:
            raise
        raise StorageFault(
            "no credentials found",
            where=error.where,
            meaning=error.meaning,
            advice=error.advice,
        ) from error
    text = f"from {source}" if source else "not from variables; the client finds them by itself"
    return Observation(text, {"source": source})


def _open_service(bench: Bench) -> None:
    location = bench.location
    service, store = bench.resources.enter_context(
        open_objects(location, share_lifeline=bench.share_lifeline, retry_limit_s=CHECK_LIMIT_S)
    )
    client = service.client(location.bucket, location.prefix, CHECK_LIMIT_S)
    bench.resources.callback(client.close)
    bench.access = Access(store, service, client)


def _ask_who_we_are(bench: Bench) -> Observation:
    failure = _first_listing(bench)
    if failure is None or failure.kind in (Kind.NO_OBJECT, Kind.NO_CONTAINER):
        return Observation("accepted")
    if failure.kind is Kind.REFUSED and failure.code in _MAY_NOT_LIST:
        return Observation(f"known, but must not list ({failure.code})", {"may_list": False})
    raise object_fault(failure, "list the objects", bench.where(), bench.service) from failure


def _first_listing(bench: Bench) -> ObjectFailure | None:
    """Return what became of the first request that is signed."""
    try:
        next(iter(bench.client.pages(bench.folder)), None)
    except ObjectFailure as failure:
        return failure
    return None


def _find_container(bench: Bench) -> Observation:
    failure = _first_listing(bench)
    if failure is None or failure.kind is Kind.NO_OBJECT:
        return Observation(f"{bench.location.bucket} exists")
    if failure.kind is Kind.REFUSED:
        return Observation("not told: these credentials must not list; writing shows it")
    raise object_fault(failure, "list the objects", bench.where(), bench.service) from failure


def of_service(opening: str, container: str) -> tuple[Probe, ...]:
    """Return the probes that need a service.

    Parameters
    ----------
    opening : str
        The probe that opens the store.
    container : str
        How the service calls its buckets.
    """
    return (
        Probe("accepted", _ask_who_we_are, ("HTTP", opening)),
        Probe(container, _find_container, ("accepted",)),
    )


SERVER: Final = (Probe("server", _open_server, limit_s=_SERVER_LIMIT_S),)
CREDENTIALS: Final = (Probe("credentials", _find_credentials),)
