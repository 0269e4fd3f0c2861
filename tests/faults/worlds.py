"""The services and clients that the fault table is made for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

from cells import SILENCE_S
from operations import PART_BYTES

from cm4storage.storage.objects import service as services
from cm4storage.storage.objects.conduct import Conduct
from cm4storage.storage.objects.s3_service import S3Service
from cm4storage.storage.objects.store import ObjectStore

if TYPE_CHECKING:
    from cm4storage.storage.embedded import EmbeddedServer


class S3World:
    """SeaweedFS through obstore."""

    name = "S3, obstore"

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self.endpoint_url = server.endpoint_url

    def store(self, endpoint_url: str, prefix: str, retry_limit_s: float) -> ObjectStore:
        """Return a store that loses patience with a silent service soon."""
        conduct = Conduct(retry_limit_s, PART_BYTES, verifies=True)
        with mock.patch.object(services, "READ_TIMEOUT_S", SILENCE_S):
            return self._store(endpoint_url, prefix, conduct)

    def direct(self, prefix: str) -> ObjectStore:
        """Return a store on the service itself."""
        return self._store(self.endpoint_url, prefix, Conduct(verifies=True))

    def _store(self, endpoint_url: str, prefix: str, conduct: Conduct) -> ObjectStore:
        server = self._server
        service = S3Service(endpoint_url, server.access_key_id, server.secret_access_key)
        return ObjectStore(server.bucket, prefix, service, conduct)
