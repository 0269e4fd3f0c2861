"""What the tests of Azure's clients share."""

from __future__ import annotations

import base64
import contextlib
import socket
import traceback
from typing import TYPE_CHECKING, Any

from cm4storage.storage.objects.store import Conduct, ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.objects.azure_service import AzureService

MIB = 2**20
SOME_KEY = base64.b64encode(b"no key of anybody, but as long as one").decode()


@contextlib.contextmanager
def opened(
    service: AzureService, container: str, prefix: str = "", retry_limit_s: float = 5.0
) -> Iterator[ObjectStore]:
    store = ObjectStore(container, prefix, service, Conduct(retry_limit_s=retry_limit_s))
    yield store
    store.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def uses_of(store: ObjectStore) -> list[Any]:
    return [
        lambda: store.read("key").__enter__(),
        lambda: store.write("key", [memoryview(b"x")]),
        lambda: store.write("key", (memoryview(bytes(MIB)) for _ in range(17))),
        lambda: list(store.list()),
        lambda: list(store.folders()),
        lambda: store.stat("key"),
        lambda: store.delete("key"),
    ]


def assert_tells_no_secret(error: BaseException, *secrets: str) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error)
    for secret in secrets:
        assert secret not in shown
