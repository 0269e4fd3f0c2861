"""From a location to an open store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.objects.conduct import Conduct
from cm4storage.storage.store import RETRY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.folders.folder import FolderStore
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.objects.service import ObjectService, OwnServer
    from cm4storage.storage.store import Store


@contextlib.contextmanager
def open_store(
    location: StoreLocation,
    *,
    fsync: bool = False,
    share_lifeline: bool = False,
    retry_limit_s: float = RETRY_LIMIT_S,
    verifies: bool = False,
) -> Iterator[Store]:
    """Open the store at `location`, and close it when the context ends.

    A location with a `server_dir` starts the embedded server, or joins it, and stays its user
    until the context ends.

    Parameters
    ----------
    location : StoreLocation
        Where.
    fsync : bool
        For folders: make each written object durable before `write` returns. An object store
        decides that itself.
    share_lifeline : bool
        Keep an embedded server until the run that this process belongs to ends.
    retry_limit_s : float
        For object stores: after this long no failed request is tried again.
    verifies : bool
        For object stores: compare whole objects with their digests; see `Conduct`.
    """
    with contextlib.ExitStack() as stack:
        if location.is_folder:
            store: Store = _kind_of_folder(location)(location.path, fsync=fsync)
            endpoint = f"{location.scheme}://"
        else:
            service, server = _object_service(location, stack, share_lifeline=share_lifeline)
            conduct = Conduct(retry_limit_s=retry_limit_s, verifies=verifies)
            store = _open_objects(location, service, conduct, server)
            endpoint = service.name
        stack.callback(store.close)
        yield store if location.log is None else location.log.logged(store, endpoint)


@contextlib.contextmanager
def open_objects(
    location: StoreLocation, *, share_lifeline: bool, retry_limit_s: float
) -> Iterator[tuple[ObjectService, Store]]:
    """Open an object store as `open_store` does, and give the service behind it, too."""
    with contextlib.ExitStack() as stack:
        service, server = _object_service(location, stack, share_lifeline=share_lifeline)
        store = _open_objects(location, service, Conduct(retry_limit_s=retry_limit_s), server)
        stack.callback(store.close)
        yield service, store


def client_of(location: StoreLocation) -> str:
    """Return the name of the client that requests go through, empty for folders."""
    if location.is_folder:
        return ""
    return location.client or "obstore"


def _kind_of_folder(location: StoreLocation) -> type[FolderStore]:
    if location.scheme != "directio":
        return FileStore
    from cm4storage.storage.folders.directio import DirectStore

    return DirectStore


def _object_service(
    location: StoreLocation, stack: contextlib.ExitStack, *, share_lifeline: bool
) -> tuple[ObjectService, OwnServer | None]:
    """Return the service of a location, and its embedded server, which `stack` holds."""
    from cm4storage.storage.objects import azure_service, s3_clients, s3_service

    is_azure = location.scheme == "az"
    if location.server_dir is None:
        if is_azure:
            return azure_service.from_environment(
                location.endpoint_url, client_name=location.client
            ), None
        return s3_service.from_environment(location.endpoint_url, client_name=location.client), None
    from cm4storage.storage import embedded

    # Before the server, which may have to be installed first.
    if is_azure:
        azure_service.check_client(location.client)
    else:
        s3_clients.check(location.client)
    server = stack.enter_context(
        embedded.connect(
            location.server_dir, "azure" if is_azure else "s3", share_lifeline=share_lifeline
        )
    )
    embedded.ensure_bucket(server, location.bucket)
    if is_azure:
        return azure_service.of_embedded(server, location.client), server
    return s3_service.of_embedded(server, location.client), server


def _open_objects(
    location: StoreLocation, service: ObjectService, conduct: Conduct, server: OwnServer | None
) -> Store:
    from cm4storage.storage.objects.store import ObjectStore

    return ObjectStore(location.bucket, location.prefix, service, conduct, server)
