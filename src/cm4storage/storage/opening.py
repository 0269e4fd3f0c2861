"""From a location to an open store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.storage.file import FileStore
from cm4storage.storage.store import RETRY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store


@contextlib.contextmanager
def open_store(
    location: StoreLocation,
    *,
    fsync: bool = False,
    share_lifeline: bool = False,
    retry_limit_s: float = RETRY_LIMIT_S,
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
    """
    with contextlib.ExitStack() as stack:
        if location.scheme == "s3":
            store = _open_s3(location, stack, retry_limit_s, share_lifeline=share_lifeline)
        else:
            store = FileStore(location.path, fsync=fsync)
        stack.callback(store.close)
        yield store


def _open_s3(
    location: StoreLocation,
    stack: contextlib.ExitStack,
    retry_limit_s: float,
    *,
    share_lifeline: bool,
) -> Store:
    from cm4storage.storage import s3_service
    from cm4storage.storage.s3 import S3Store

    server = None
    if location.server_dir is None:
        service = s3_service.from_environment(location.endpoint_url)
    else:
        from cm4storage.storage import embedded

        server = stack.enter_context(
            embedded.connect(location.server_dir, share_lifeline=share_lifeline)
        )
        service = s3_service.of_embedded(server)
        embedded.ensure_bucket(server, location.bucket)
    return S3Store(
        location.bucket, location.prefix, service, retry_limit_s=retry_limit_s, server=server
    )
