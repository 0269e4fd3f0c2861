"""Candidates of ``object_stores.py``: our store with each of its clients, and the bare clients."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from cm4storage.core.errors import UserError
from cm4storage.storage.objects.store import Conduct, ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.embedded import EmbeddedServer
    from cm4storage.storage.objects.service import ObjectService

PREFIX = "bench"


class Client(Protocol):
    """What is measured; a candidate without one of the methods is left out of its cases."""

    name: str

    def get(self, key: str) -> int:
        """Fetch an object; return its size."""

    def get_into(self, key: str, buffer: memoryview) -> int:
        """Fetch an object into a buffer; return its size."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object by one request."""


class Buffers(threading.local):
    """A buffer for each thread, faulted in."""

    def __init__(self, size_bytes: int) -> None:
        self.mine = memoryview(bytearray(size_bytes))


class Ours:
    """Our store."""

    def __init__(self, name: str, service: ObjectService, container: str) -> None:
        self.name = name
        # Objects of 16 MiB go in one request, as the others send them.
        self._store = ObjectStore(container, PREFIX, service, Conduct(part_bytes=64 * 2**20))

    def get(self, key: str) -> int:
        """Fetch an object; return its size."""
        with self._store.read(key) as view:
            return view.nbytes

    def get_into(self, key: str, buffer: memoryview) -> int:
        """Fetch an object into a buffer; return its size."""
        return self._store.read_into(key, buffer)

    def put(self, key: str, body: bytes) -> None:
        """Write an object by one request."""
        self._store.write(key, [memoryview(body)])


class BareObstore:
    """obstore as its documentation uses it, from threads."""

    name = "bare obstore"

    def __init__(self, store: Any) -> None:
        import obstore

        self._obstore, self._store = obstore, store

    def get(self, key: str) -> int:
        """Fetch an object; return its size."""
        return len(self._obstore.get(self._store, key).bytes())

    def get_into(self, key: str, buffer: memoryview) -> int:
        """Fetch an object into a buffer; return its size."""
        data = memoryview(self._obstore.get(self._store, key).bytes())
        buffer[: data.nbytes] = data
        return data.nbytes

    def put(self, key: str, body: bytes) -> None:
        """Write an object by one request."""
        self._obstore.put(self._store, key, body, use_multipart=False)


class BareBoto3:
    """boto3 with its defaults."""

    name = "bare boto3"

    def __init__(self, server: EmbeddedServer) -> None:
        import boto3
        from botocore.config import Config

        self._bucket = server.bucket
        self._client = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
            region_name="us-east-1",
            config=Config(max_pool_connections=32, proxies={}),
        )

    def get(self, key: str) -> int:
        """Fetch an object; return its size."""
        answer = self._client.get_object(Bucket=self._bucket, Key=f"{PREFIX}/{key}")
        return len(answer["Body"].read())

    def put(self, key: str, body: bytes) -> None:
        """Write an object by one request."""
        self._client.put_object(Bucket=self._bucket, Key=f"{PREFIX}/{key}", Body=body)


class BareS3dlio:
    """s3dlio, which takes its one endpoint from the environment."""

    name = "bare s3dlio"

    def __init__(self, server: EmbeddedServer) -> None:
        os.environ.update(
            AWS_ENDPOINT_URL=server.endpoint_url,
            AWS_ACCESS_KEY_ID=server.access_key_id,
            AWS_SECRET_ACCESS_KEY=server.secret_access_key,
            AWS_REGION="us-east-1",
        )
        import s3dlio

        self._library, self._root = s3dlio, f"s3://{server.bucket}/{PREFIX}"

    def get(self, key: str) -> int:
        """Fetch an object; return its size."""
        return len(memoryview(self._library.get(f"{self._root}/{key}")))

    def put(self, key: str, body: bytes) -> None:
        """Write an object by one request."""
        self._library.put_bytes(f"{self._root}/{key}", body)


class BareAzureSdk:
    """azure-storage-blob with its defaults."""

    name = "bare azure-storage-blob"

    def __init__(self, server: EmbeddedServer) -> None:
        from azure.storage.blob import ContainerClient

        self._container = ContainerClient(
            server.endpoint_url,
            server.bucket,
            credential={
                "account_name": server.access_key_id,
                "account_key": server.secret_access_key,
            },
            max_pool_size=32,
        )

    def get(self, key: str) -> int:
        """Fetch an object; return its size."""
        return len(self._container.download_blob(f"{PREFIX}/{key}").readall())

    def put(self, key: str, body: bytes) -> None:
        """Write an object by one request."""
        self._container.upload_blob(f"{PREFIX}/{key}", body, overwrite=True)


def _s3(server: EmbeddedServer) -> Iterator[Callable[[], Client]]:
    from cm4storage.storage.objects.s3_service import of_embedded

    service = of_embedded(server)
    yield lambda: Ours("ours", service, server.bucket)
    yield lambda: BareObstore(_bare_s3_store(server))
    yield lambda: Ours("ours, boto3", replace(service, client_name="boto3"), server.bucket)
    yield lambda: BareBoto3(server)
    yield lambda: Ours("ours, s3dlio", replace(service, client_name="s3dlio"), server.bucket)
    yield lambda: BareS3dlio(server)


def _bare_s3_store(server: EmbeddedServer) -> Any:
    from obstore.store import S3Store

    return S3Store(
        server.bucket,
        prefix=PREFIX,
        endpoint=server.endpoint_url,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def _azure(server: EmbeddedServer) -> Iterator[Callable[[], Client]]:
    from cm4storage.storage.objects.azure_service import of_embedded

    sdk = "azure-storage-blob"
    yield lambda: Ours("ours", of_embedded(server), server.bucket)
    yield lambda: BareObstore(_bare_azure_store(server))
    yield lambda: Ours(f"ours, {sdk}", of_embedded(server, sdk), server.bucket)
    yield lambda: BareAzureSdk(server)


def _bare_azure_store(server: EmbeddedServer) -> Any:
    from obstore.store import AzureStore

    return AzureStore(
        server.bucket,
        prefix=PREFIX,
        endpoint=server.endpoint_url,
        account_name=server.access_key_id,
        account_key=server.secret_access_key,
        client_options={"allow_http": True},
    )


CLIENTS: dict[str, Callable[[EmbeddedServer], Iterator[Callable[[], Client]]]] = {
    "s3": _s3,
    "azure": _azure,
}
"""The makers of all candidates of a service."""


def clients_of(kind: str, server: EmbeddedServer) -> list[Client]:
    """Return the candidates whose libraries are installed."""
    found = []
    for make in CLIENTS[kind](server):
        with contextlib.suppress(ImportError, UserError):
            found.append(make())
    return found
