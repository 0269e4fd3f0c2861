"""What Azure's settings mean, and what becomes of services that fail; no real server takes part."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import pytest
import raw_services
from azure_uses import SOME_KEY, assert_tells_no_secret, free_port, opened, uses_of
from raw_services import RawService

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects import azure_service
from cm4storage.storage.objects.azure_service import CLIENTS, AzureService
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMED = {"AZURE_STORAGE_ACCOUNT": "me"}


@pytest.mark.parametrize(
    ("endpoint", "variables", "url", "account"),
    [
        (None, NAMED, "https://me.blob.core.windows.net", "me"),
        ("https://me.blob.core.windows.net/", {}, "https://me.blob.core.windows.net", "me"),
        ("https://me.z1.blob.storage.azure.net", {}, "https://me.z1.blob.storage.azure.net", "me"),
        ("http://10.1.2.3:10000", NAMED, "http://10.1.2.3:10000/me", "me"),
        ("http://localhost:1/you", NAMED, "http://localhost:1/you", "you"),
        ("https://a.example.org", NAMED, "https://a.example.org", "me"),
        (
            None,
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;EndpointSuffix=core.example.org"},
            "https://me.blob.core.example.org",
            "me",
        ),
        (
            None,
            {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"},
            "http://127.0.0.1:10000/devstoreaccount1",
            "devstoreaccount1",
        ),
        (
            "http://127.0.0.1:7/other",
            {
                "AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;BlobEndpoint=http://127.0.0.1:8/me"
            },
            "http://127.0.0.1:7/other",
            "other",
        ),
    ],
)
def test_which_account_is_meant(
    endpoint: str | None, variables: dict[str, str], url: str, account: str
) -> None:
    text = variables.get("AZURE_STORAGE_CONNECTION_STRING")
    known = dict(variables, AZURE_STORAGE_KEY=SOME_KEY)
    if text:
        known["AZURE_STORAGE_CONNECTION_STRING"] = f"AccountKey={SOME_KEY};{text}"
    found = azure_service.from_environment(endpoint, known)
    assert (found.endpoint_url, found.account) == (url, account)


@pytest.mark.parametrize(
    ("endpoint", "variables", "message"),
    [
        (None, {}, "the account of the Azure service is missing"),
        ("http://10.0.0.1", {}, "the account of the Azure service is missing"),
        ("me.blob.core.windows.net", {}, "malformed endpoint"),
        ("https://me.blob.core.windows.net?sig=planted", {}, "has no query"),
        ("https://me:planted@me.blob.core.windows.net", {}, "must not hold credentials"),
        ("https://me.blob.core.windows.net", {}, r"(?s)no credentials.*AZURE_STORAGE_KEY"),
        ("http://1.2.3.4/me", {"AZURE_STORAGE_KEY": "planted!"}, "not base64"),
        (None, {"AZURE_STORAGE_CONNECTION_STRING": "planted"}, "malformed AZURE_STORAGE_CONN"),
        (
            None,
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=me", "AZURE_STORAGE_KEY": SOME_KEY},
            "no credentials",
        ),
    ],
)
def test_what_is_wrong_with_the_settings_is_told(
    endpoint: str | None, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        azure_service.from_environment(endpoint, variables)
    assert_tells_no_secret(caught.value, "planted")


def test_a_principal_is_left_to_obstore() -> None:
    known = {"AZURE_STORAGE_ACCOUNT": "me", "AZURE_CLIENT_ID": "id"}
    assert azure_service.from_environment(None, known).key is None
    with pytest.raises(UserError, match=r"(?s)no credentials.*with the client obstore"):
        azure_service.from_environment(None, known, "azure-storage-blob")


def test_an_unknown_client_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown client.*boto9(?s:.*)obstore, azure-storage-blob"):
        AzureService("http://127.0.0.1/me", "me", SOME_KEY, client_name="boto9")


@contextlib.contextmanager
def service_that_answers(client: str, *answers: bytes) -> Iterator[AzureService]:
    """Serve raw bytes, one answer per connection and the last one again and again."""
    with RawService(*answers) as service:
        yield AzureService(f"{service.url}/account", "account", SOME_KEY, client_name=client)


def answer(
    status: str, body: bytes, *, length: int | None = None, extra: str = "", begin: int = 0
) -> bytes:
    size = len(body) if length is None else length
    azures = (
        f"Content-Range: bytes {begin}-{begin + size - 1}/{begin + size}\r\n"
        "x-ms-blob-type: BlockBlob\r\nx-ms-version: 2021-12-02\r\n"
    )
    return raw_services.answer(status, body, length=length, extra=azures + extra)


@pytest.mark.parametrize("client", CLIENTS)
class TestServicesThatFail:
    def test_a_body_that_is_cut_short_is_never_taken_for_whole(self, client: str) -> None:
        cut = answer("206 Partial Content", b"a" * 500, length=1000)
        with (
            service_that_answers(client, cut) as service,
            opened(service, "container", retry_limit_s=1.0) as store,
        ):
            with pytest.raises(StorageFault, match=r"broke off after [1-9]"), store.read("key"):
                pass
            with pytest.raises(StorageFault, match=r"broke off after [1-9]"):
                store.read_into("key", memoryview(bytearray(1000)))

    def test_a_body_that_breaks_off_is_fetched_again_and_counted(self, client: str) -> None:
        cut = answer("206 Partial Content", b"a" * 500, length=1000)
        whole = answer("206 Partial Content", b"b" * 1000)
        with (
            service_that_answers(client, cut, cut, whole) as service,
            opened(service, "container") as store,
        ):
            with store.read("key", start=0, length=1000) as view:
                assert view == b"b" * 1000
            assert store.retries == 2

    def test_another_range_than_was_asked_for_is_never_taken_for_it(self, client: str) -> None:
        other = answer("206 Partial Content", b"b" * 500, begin=500)
        with (
            service_that_answers(client, other) as service,
            opened(service, "container", retry_limit_s=0.5) as store,
        ):
            wrong = pytest.raises(StorageFault, match="cannot read the object")
            with wrong, store.read("key", start=100, length=500):
                pass

    def test_a_busy_service_is_asked_again(self, client: str) -> None:
        code = "x-ms-error-code: ServerBusy\r\n"
        busy = answer("503 Server Busy", b"<Error><Code>ServerBusy</Code></Error>", extra=code)
        whole = answer("206 Partial Content", b"data")
        with (
            service_that_answers(client, busy, busy, whole) as service,
            opened(service, "container") as store,
        ):
            with store.read("key", start=0, length=4) as view:
                assert view == b"data"
            assert store.retries == 2

    def test_pages_are_asked_for_again(self, client: str) -> None:
        body = (
            b'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob>'
            b"<Name>key</Name><Properties><Content-Length>4</Content-Length>"
            b"<Last-Modified>Wed, 21 Oct 2015 07:28:00 GMT</Last-Modified><Etag>x</Etag>"
            b"<Content-Type>application/octet-stream</Content-Type>"
            b"<BlobType>BlockBlob</BlobType></Properties></Blob></Blobs><NextMarker/>"
            b"</EnumerationResults>"
        )
        xml = "Content-Type: application/xml\r\n"
        busy = answer("503 Server Busy", b"<Error><Code>ServerBusy</Code></Error>", extra=xml)
        with (
            service_that_answers(client, busy, answer("200 OK", body, extra=xml)) as service,
            opened(service, "container") as store,
        ):
            assert [item.key for item in store.list()] == ["key"]

    def test_a_failing_service_is_a_fault_with_its_own_words(self, client: str) -> None:
        body = b"<Error><Code>InternalError</Code><Message>disk is broken</Message></Error>"
        extra = "Content-Type: application/xml\r\nx-ms-error-code: InternalError\r\n"
        failing = answer("500 Internal Server Error", body, extra=extra)
        with (
            service_that_answers(client, failing) as service,
            opened(service, "container", "prefix", retry_limit_s=0.5) as store,
            pytest.raises(StorageFault, match=r"(?s)500 Int.*prefix/key.*disk is broken"),
        ):
            store.read("key").__enter__()

    def test_a_service_that_is_not_there_is_an_error_within_the_limit(self, client: str) -> None:
        url = f"http://127.0.0.1:{free_port()}/account"
        service = AzureService(url, "account", SOME_KEY, client_name=client)
        begin = time.monotonic()
        with opened(service, "container", retry_limit_s=1.0) as store:
            for use in uses_of(store):
                with pytest.raises(StorageFault, match="the service is not reachable"):
                    use()
        assert time.monotonic() - begin < 120, "it is an error, not a hang"


@pytest.mark.parametrize(
    ("client", "message"),
    [("boto9", r"unknown client.*boto9"), ("azure-storage-blob", r"(?s)not installed.*\[azure\]")],
)
def test_a_client_that_there_is_not_is_refused_before_a_server_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    folder = tmp_path / "server"
    place = StoreLocation.parse("az://cm4storage/x", server_dir=folder, client=client)
    with pytest.raises(UserError, match=message), open_store(place):
        pass
    assert not folder.exists()


def _blob(name: str, size_bytes: int, kind: str, metadata: str = "") -> str:
    return (
        f"<Blob><Name>{name}</Name><Properties><Content-Length>{size_bytes}</Content-Length>"
        f"<ResourceType>{kind}</ResourceType><BlobType>BlockBlob</BlobType><Etag>x</Etag>"
        "<Content-Type>application/octet-stream</Content-Type>"
        "<Last-Modified>Wed, 21 Oct 2015 07:28:00 GMT</Last-Modified></Properties>"
        f"<Metadata>{metadata}</Metadata></Blob>"
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_folders_of_a_hierarchical_namespace_are_no_objects(client: str) -> None:
    blobs = (
        _blob("folder", 0, "directory", "<hdi_isfolder>true</hdi_isfolder>")
        + _blob("folder/below", 0, "directory", "<hdi_isfolder>true</hdi_isfolder>")
        + _blob("folder/object", 5, "file")
    )
    body = (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x/" '
        f'ContainerName="container"><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>'
    )
    page = answer("200 OK", body.encode(), extra="Content-Type: application/xml\r\n")
    with service_that_answers(client, page) as service, opened(service, "container") as store:
        assert [(item.key, item.size_bytes) for item in store.list()] == [("folder/object", 5)]
