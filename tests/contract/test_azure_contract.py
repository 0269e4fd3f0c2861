"""The contract, kept by a container on a real Azure server, through each client."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from azure.storage.blob import ContainerClient
from store_contract import StoreContract

from cm4storage.storage.objects.azure_service import CLIENTS, of_embedded
from cm4storage.storage.objects.store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.embedded import EmbeddedServer

_numbers = itertools.count()


@pytest.mark.parametrize("client", CLIENTS)
class TestAzureStore(StoreContract):
    backend = "az"

    @pytest.fixture
    def prefix(self) -> str:
        return f"root-{next(_numbers)}/with space"

    @pytest.fixture
    def open_again(
        self, azure_server: EmbeddedServer, prefix: str, client: str
    ) -> Iterator[Callable[[], ObjectStore]]:
        opened: list[ObjectStore] = []

        def make() -> ObjectStore:
            service = of_embedded(azure_server, client)
            opened.append(ObjectStore(azure_server.bucket, prefix, service))
            return opened[-1]

        yield make
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_again: Callable[[], ObjectStore]) -> ObjectStore:
        return open_again()

    @pytest.fixture
    def debris(
        self, azure_server: EmbeddedServer, store: ObjectStore, prefix: str
    ) -> Callable[[], list[str]]:
        """Return what another library lists, the snapshots too, beside the store's objects.

        Blocks that were never committed belong to no object. The service drops them: nobody can.
        """

        def unknown() -> list[str]:
            variables = azure_server.exports()
            text = variables["AZURE_STORAGE_CONNECTION_STRING"]
            with ContainerClient.from_connection_string(text, azure_server.bucket) as container:
                names = container.list_blobs(prefix, include=["snapshots", "deleted", "versions"])
                found = [blob.name for blob in names]
            known = {f"{prefix}/{item.key}" for item in store.list()}
            return [name for name in found if name not in known]

        return unknown
