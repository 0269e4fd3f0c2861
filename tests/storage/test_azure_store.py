"""What only Azure does: accounts, signatures, blocks, and two clients that judge each other."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from azure.storage.blob import (
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)
from azure_uses import MIB, SOME_KEY, assert_tells_no_secret, free_port, opened, uses_of

from cm4storage.core.errors import StorageFault
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects.azure_service import CLIENTS, of_embedded
from cm4storage.storage.objects.store import Conduct, ObjectStore
from cm4storage.storage.opening import open_store
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.embedded import EmbeddedServer
    from cm4storage.storage.objects.azure_service import AzureService


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AZURE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(params=CLIENTS)
def service(azure_server: EmbeddedServer, request: pytest.FixtureRequest) -> AzureService:
    return of_embedded(azure_server, request.param)


@pytest.fixture
def judge(azure_server: EmbeddedServer) -> Iterator[ContainerClient]:
    """Give Microsoft's own client of the container, as its manual says it is made."""
    text = azure_server.exports()["AZURE_STORAGE_CONNECTION_STRING"]
    with ContainerClient.from_connection_string(text, azure_server.bucket) as container:
        yield container


def signature(server: EmbeddedServer, permissions: str = "racwdl", minutes: float = 60) -> str:
    return generate_container_sas(
        server.access_key_id,
        server.bucket,
        account_key=server.secret_access_key,
        permission=ContainerSasPermissions.from_string(permissions),
        start=datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=90),
        expiry=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes),
    )


@pytest.mark.parametrize("size_bytes", [0, 5, MIB, 40 * MIB])
def test_microsofts_library_reads_what_we_write(
    service: AzureService, judge: ContainerClient, size_bytes: int
) -> None:
    data = os.urandom(size_bytes)
    pieces = [memoryview(data)[n : n + 3 * MIB] for n in range(0, size_bytes, 3 * MIB)]
    with opened(service, judge.container_name, "judge/a b") as store:
        assert store.write("key +%é", pieces) == size_bytes
    assert judge.download_blob("judge/a b/key +%é").readall() == data


@pytest.mark.parametrize("size_bytes", [0, 5, 20 * MIB])
def test_we_read_what_microsofts_library_writes(
    service: AzureService, judge: ContainerClient, size_bytes: int
) -> None:
    data = os.urandom(size_bytes)
    judge.upload_blob("from-judge/ö key", data, overwrite=True)
    with opened(service, judge.container_name, "from-judge") as store:
        with store.read("ö key") as view:
            assert view == data
        assert [(item.key, item.size_bytes) for item in store.list()] == [("ö key", size_bytes)]


@pytest.mark.slow
def test_objects_beyond_one_request_of_microsofts_library(azure_server: EmbeddedServer) -> None:
    data = os.urandom(MIB)
    service = of_embedded(azure_server, "azure-storage-blob")
    with opened(service, azure_server.bucket, "large") as store:
        assert store.write("key", (memoryview(data) for _ in range(70))) == 70 * MIB
        with store.read("key") as view:
            assert all(view[n * MIB : (n + 1) * MIB] == data for n in range(70))
        with store.read("key", start=MIB - 1, length=66 * MIB) as view:
            assert view.nbytes == 66 * MIB
            assert view[:1] == data[-1:]
            assert view[-MIB:] == (data[-1:] + data)[:MIB]
        store.delete("key")


def test_the_digest_lies_beside_the_object(service: AzureService, judge: ContainerClient) -> None:
    with opened(service, judge.container_name, "digest") as store:
        store.write("key", [memoryview(b"x" * 1000)])
    metadata = judge.get_blob_client("digest/key").get_blob_properties().metadata
    assert set(metadata) == {"cm4xxh3"}
    store = ObjectStore(judge.container_name, "digest", service, Conduct(0.0, verifies=True))
    with contextlib.closing(store):
        with store.read("key") as view:
            assert view == b"x" * 1000
        judge.upload_blob("digest/key", b"x" * 999 + b"y", overwrite=True, metadata=metadata)
        wrong = pytest.raises(StorageFault, match="do not match its digest")
        with wrong, store.read("key"):
            pass


def test_blocks_of_a_failed_write_belong_to_no_object_and_go_with_the_next(
    service: AzureService, judge: ContainerClient
) -> None:
    def broken() -> Iterator[memoryview]:
        for _ in range(40):
            yield memoryview(bytes(MIB))
        raise RuntimeError("the source broke")

    key = f"blocks/{uuid.uuid4()}"
    blob = judge.get_blob_client(key)
    with opened(service, judge.container_name) as store:
        with pytest.raises(RuntimeError, match="the source broke"):
            store.write(key, broken())
        assert not blob.exists()
        store.write(key, (memoryview(bytes(MIB)) for _ in range(40)))
    committed, uncommitted = blob.get_block_list("all")
    assert len(committed) == 3
    assert uncommitted == []


def test_two_writers_of_one_large_object_do_not_mix(azure_server: EmbeddedServer) -> None:
    """Azure drops the blocks of others at a commit: the slower writer may be told so."""
    service = of_embedded(azure_server, "azure-storage-blob")

    def write(byte: bytes) -> bool:
        try:
            return store.write("key", (memoryview(byte * MIB) for _ in range(34))) > 0
        except StorageFault as fault:
            assert "InvalidBlockList" in str(fault)  # noqa: PT017 - it need not happen
            return False

    with opened(service, azure_server.bucket, "mix") as store, ThreadPoolExecutor(2) as pool:
        assert any(pool.map(write, [b"a", b"b"]))
        with store.read("key") as view:
            assert bytes(view) in (b"a" * (34 * MIB), b"b" * (34 * MIB))


def test_a_missing_container_is_told_from_a_missing_object(service: AzureService) -> None:
    with opened(service, "no-such-container") as store:
        missing = pytest.raises(MissingObject, match="the container does not exist")
        with missing, store.read("key"):
            pass
        with pytest.raises(MissingObject, match="the container does not exist"):
            list(store.list())
        with pytest.raises(MissingObject, match=r"az://no-such-container/key at http://127\.0"):
            store.stat("key")


def test_a_wrong_key_is_refused_and_not_repeated(
    azure_server: EmbeddedServer, service: AzureService
) -> None:
    wrong = dataclasses.replace(service, key=SOME_KEY)
    assert SOME_KEY not in repr(wrong)
    with opened(wrong, azure_server.bucket, retry_limit_s=60.0) as store:
        for use in uses_of(store):
            with pytest.raises(StorageFault, match="the service refused") as caught:
                use()
            assert not isinstance(caught.value, MissingObject)
            assert "AZURE_STORAGE_KEY" in str(caught.value)
            assert_tells_no_secret(caught.value, SOME_KEY, azure_server.secret_access_key)
        assert store.retries == 0


def test_a_signature_does_what_it_allows(
    azure_server: EmbeddedServer, service: AzureService
) -> None:
    sas = dataclasses.replace(service, key=None, sas_token=signature(azure_server))
    with opened(sas, azure_server.bucket, "sas") as store:
        store.write("small", [memoryview(b"x")])
        store.write("large", (memoryview(bytes(MIB)) for _ in range(17)))
        assert [item.key for item in store.list()] == ["large", "small"]
        with store.read("small") as view:
            assert view == b"x"
    read_only = dataclasses.replace(sas, sas_token=signature(azure_server, "r"))
    with opened(read_only, azure_server.bucket, "sas") as store:
        assert store.stat("small").size_bytes == 1
        with pytest.raises(StorageFault, match=r"(?s)the service refused.*does not allow this"):
            store.write("small", [memoryview(b"y")])


def test_no_text_holds_the_signature(azure_server: EmbeddedServer, service: AzureService) -> None:
    expired = signature(azure_server, minutes=-5)
    sas = dataclasses.replace(service, key=None, sas_token=expired)
    written = expired.partition("sig=")[2].partition("&")[0]
    assert written not in repr(sas)
    silent = dataclasses.replace(sas, endpoint_url=f"http://127.0.0.1:{free_port()}/account")
    for each, match in ((sas, "the service refused"), (silent, "the service is not reachable")):
        with opened(each, azure_server.bucket, retry_limit_s=0.2) as store:
            for use in uses_of(store):
                with pytest.raises(StorageFault, match=match) as caught:
                    use()
                assert_tells_no_secret(caught.value, written, unquote(written))


def test_loopback_bypasses_every_proxy(
    azure_server: EmbeddedServer, service: AzureService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, url)
        with opened(service, azure_server.bucket, "proxy") as store:
            store.write("key", [memoryview(b"x")])
            with store.read("key") as view:
                assert view == b"x"
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_the_environment_does_not_mix_into_an_embedded_server(
    azure_server: EmbeddedServer, service: AzureService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=other;AccountKey={SOME_KEY}",
        "AZURE_STORAGE_ACCOUNT_NAME": "other",
        "AZURE_STORAGE_ACCOUNT_KEY": SOME_KEY,
        "AZURE_STORAGE_SAS_TOKEN": "sv=2021&sig=abc",
        "AZURE_STORAGE_TOKEN": "bearer",
        "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_SKIP_SIGNATURE": "true",
        "AZURE_CONTAINER_NAME": "other",
    }.items():
        monkeypatch.setenv(name, value)
    with opened(service, azure_server.bucket, "mixed") as store:
        store.write("key", [memoryview(b"x")])
        assert [item.key for item in store.list()] == ["key"]


def environments(server: EmbeddedServer) -> dict[str, dict[str, str]]:
    port = server.endpoint_url.removesuffix(f"/{server.access_key_id}")
    return {
        "connection string": server.exports(),
        "key": {
            "AZURE_STORAGE_ACCOUNT": server.access_key_id,
            "AZURE_STORAGE_KEY": server.secret_access_key,
            "AZURE_STORAGE_ENDPOINT": port,
        },
        "other names": {
            "AZURE_STORAGE_ACCOUNT_NAME": server.access_key_id,
            "AZURE_STORAGE_ACCOUNT_KEY": server.secret_access_key,
            "AZURE_STORAGE_SERVICE_ENDPOINT": server.endpoint_url,
        },
        "signature": {
            "AZURE_STORAGE_SAS_TOKEN": f"?{signature(server)}",
            "AZURE_STORAGE_ENDPOINT": server.endpoint_url,
        },
        "signature in a connection string": {
            "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint={server.endpoint_url}/;"
            f"SharedAccessSignature={signature(server)}"
        },
    }


@pytest.mark.parametrize("client", ["", *CLIENTS])
@pytest.mark.parametrize(
    "name",
    [
        "connection string",
        "key",
        "other names",
        "signature",
        "signature in a connection string",
    ],
)
def test_the_account_of_the_environment_is_used(
    azure_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, name: str, client: str
) -> None:
    for variable, value in environments(azure_server)[name].items():
        monkeypatch.setenv(variable, value)
    location = StoreLocation.parse(f"az://{azure_server.bucket}/environment", client=client)
    with open_store(location) as store:
        store.write("key", [memoryview(b"x")])
        assert store.stat("key").size_bytes == 1
