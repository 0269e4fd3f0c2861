"""The services and clients that the fault table is made for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar
from unittest import mock
from urllib.parse import urlsplit

from cells import SILENCE_S
from operations import PART_BYTES

from cm4storage.storage.objects import service as services
from cm4storage.storage.objects.azure_service import AzureService
from cm4storage.storage.objects.conduct import Conduct
from cm4storage.storage.objects.s3_service import S3Service
from cm4storage.storage.objects.store import ObjectStore

if TYPE_CHECKING:
    from cells import World

    from cm4storage.storage.embedded import EmbeddedServer
    from cm4storage.storage.objects.service import ObjectService


class _World(ABC):
    """An embedded server through one client."""

    title: ClassVar[str]

    def __init__(self, server: EmbeddedServer, client_name: str) -> None:
        self._server = server
        self._client_name = client_name
        self.endpoint_url = server.endpoint_url
        self.name = f"{self.title}, {client_name}"

    def store(self, endpoint_url: str, prefix: str, retry_limit_s: float) -> ObjectStore:
        """Return a store that loses patience with a silent service soon."""
        conduct = Conduct(retry_limit_s, PART_BYTES, verifies=True)
        with mock.patch.object(services, "READ_TIMEOUT_S", SILENCE_S):
            return self._store(endpoint_url, prefix, conduct)

    def direct(self, prefix: str) -> ObjectStore:
        """Return a store on the service itself."""
        return self._store(self.endpoint_url, prefix, Conduct(verifies=True))

    def _store(self, endpoint_url: str, prefix: str, conduct: Conduct) -> ObjectStore:
        return ObjectStore(self._server.bucket, prefix, self._service(endpoint_url), conduct)

    @abstractmethod
    def _service(self, endpoint_url: str) -> ObjectService:
        """Return the service at a URL, through the client."""


class S3World(_World):
    """SeaweedFS."""

    title = "S3"

    def _service(self, endpoint_url: str) -> ObjectService:
        server = self._server
        return S3Service(
            endpoint_url,
            server.access_key_id,
            server.secret_access_key,
            client_name=self._client_name,
        )


class AzureWorld(_World):
    """Azurite, whose URLs have the account as their path."""

    title = "Azure"

    def _service(self, endpoint_url: str) -> ObjectService:
        server = self._server
        url = endpoint_url.rstrip("/")
        if not urlsplit(url).path:
            url += urlsplit(server.endpoint_url).path
        return AzureService(
            url, server.access_key_id, server.secret_access_key, None, self._client_name
        )


WORLDS: dict[str, tuple[str, type[_World], str]] = {
    "s3-obstore": ("s3", S3World, "obstore"),
    "s3-boto3": ("s3", S3World, "boto3"),
    "azure-obstore": ("azure", AzureWorld, "obstore"),
    "azure-sdk": ("azure", AzureWorld, "azure-storage-blob"),
}
"""By name: the kind of embedded server, and what is made of it."""


def world_of(name: str, server: EmbeddedServer) -> World:
    """Return a world on a server of its kind."""
    _, make, client_name = WORLDS[name]
    return make(server, client_name)
