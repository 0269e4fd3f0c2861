"""What only S3 does: credentials, buckets, proxies, and services that fail."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from raw_services import RawService, answer

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects import s3_service
from cm4storage.storage.objects.s3_service import S3Service, of_embedded
from cm4storage.storage.objects.store import Conduct, ObjectStore
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.embedded import EmbeddedServer

MIB = 2**20


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def service(s3_server: EmbeddedServer) -> S3Service:
    return of_embedded(s3_server)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("size_bytes", [0, 5, MIB, 40 * MIB])
def test_boto3_reads_what_we_write(s3_server: EmbeddedServer, boto: Any, size_bytes: int) -> None:
    store = ObjectStore(s3_server.bucket, "boto/a b", of_embedded(s3_server))
    data = os.urandom(size_bytes)
    pieces = [memoryview(data)[n : n + 3 * MIB] for n in range(0, size_bytes, 3 * MIB)]
    assert store.write("key +%é", pieces) == size_bytes
    answer = boto.get_object(Bucket=s3_server.bucket, Key="boto/a b/key +%é")
    with answer["Body"] as body:
        assert body.read() == data


@pytest.mark.parametrize("size_bytes", [0, 5, 20 * MIB])
def test_we_read_what_boto3_writes(s3_server: EmbeddedServer, boto: Any, size_bytes: int) -> None:
    data = os.urandom(size_bytes)
    boto.put_object(Bucket=s3_server.bucket, Key="from-boto/ö key", Body=data)
    store = ObjectStore(s3_server.bucket, "from-boto", of_embedded(s3_server))
    with store.read("ö key") as view:
        assert view == data
    assert [(item.key, item.size_bytes) for item in store.list()] == [("ö key", size_bytes)]


def test_a_service_that_is_not_there_is_an_error_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    endpoint = f"http://127.0.0.1:{free_port()}"
    location = StoreLocation.parse("s3://bucket/prefix", endpoint_url=endpoint)
    begin = time.monotonic()
    unreachable = pytest.raises(StorageFault, match=r"(?s)not reachable after.*127\.0\.0\.1")
    with open_store(location, retry_limit_s=2.0) as store, unreachable:
        store.stat("key")
    assert time.monotonic() - begin < 60, "it is an error, not a hang"


@pytest.mark.soak
def test_the_default_limit_is_well_under_half_a_minute() -> None:
    store = ObjectStore("bucket", "", S3Service(f"http://127.0.0.1:{free_port()}", "AK", "SK"))
    begin = time.monotonic()
    with pytest.raises(StorageFault, match="the service is not reachable after"):
        store.write("key", [memoryview(b"x")])
    assert time.monotonic() - begin < 60, "it is an error, not a hang"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_endpoint_and_credentials_of_the_environment_are_used(
    s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, s3_server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    with open_store(StoreLocation.parse(f"s3://{s3_server.bucket}/environment")) as store:
        store.write("key", [memoryview(b"x")])
        assert store.stat("key").size_bytes == 1


def test_a_service_without_credentials_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"(?s)no credentials.*AWS_ACCESS_KEY_ID"):
        s3_service.from_environment("http://127.0.0.1:9000", {})


def test_an_endpoint_of_the_environment_is_checked() -> None:
    with pytest.raises(UserError, match="malformed endpoint"):
        s3_service.from_environment(None, {"AWS_ENDPOINT_URL": "localhost:9000"})


@pytest.mark.parametrize(
    ("endpoint", "is_loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.5.5.5", True),
        ("http://[::1]:80", True),
        ("https://localhost", True),
        ("http://10.0.0.1", False),
        ("https://s3.example.com", False),
        ("http://localhost.example.com", False),
    ],
)
def test_what_loopback_is(endpoint: str, is_loopback: bool) -> None:
    assert s3_service.is_loopback(endpoint) == is_loopback


@contextlib.contextmanager
def service_that_answers(*answers: bytes) -> Iterator[S3Service]:
    """Serve raw bytes, one answer per connection and the last one again and again."""
    with RawService(*answers) as service:
        yield S3Service(service.url, "AK", "SK")


def test_a_body_that_is_cut_short_is_never_taken_for_whole() -> None:
    cut = answer("200 OK", b"a" * 500, length=1000)
    with service_that_answers(cut) as service:
        store = ObjectStore("bucket", "", service, Conduct(retry_limit_s=2.0))
        with pytest.raises(StorageFault, match="cannot read the object"), store.read("key"):
            pass
        with pytest.raises(StorageFault, match="cannot read the object"):
            store.read_into("key", memoryview(bytearray(1000)))


def test_a_body_that_breaks_off_is_fetched_again() -> None:
    cut = answer("200 OK", b"a" * 500, length=1000)
    whole = answer("200 OK", b"b" * 1000)
    with service_that_answers(cut, whole) as service:
        store = ObjectStore("bucket", "", service)
        with store.read("key") as view:
            assert view == b"b" * 1000
        assert store.retries == 1


def test_a_failing_service_is_a_fault_with_its_own_words() -> None:
    body = b"<Error><Code>InternalError</Code><Message>disk is broken</Message></Error>"
    with service_that_answers(answer("500 Internal Server Error", body)) as service:
        store = ObjectStore("bucket", "prefix", service, Conduct(retry_limit_s=1.0))
        with pytest.raises(StorageFault, match=r"(?s)500 Int.*prefix/key.*disk is broken"):
            store.read("key").__enter__()


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("RequestTimeTooSkewed", "clock"),
        ("ExpiredToken", "session token has expired"),
        ("AccessDenied", "lack the permission"),
    ],
)
def test_refusals_have_a_cause(code: str, meaning: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with service_that_answers(answer("403 Forbidden", body)) as service:
        store = ObjectStore("bucket", "", service)
        with pytest.raises(StorageFault, match=f"(?s){code}.*{meaning}"):
            store.read("key").__enter__()


def test_a_server_that_is_killed_under_load_is_an_error_not_a_hang(tmp_path: Any) -> None:
    from server_processes import pid_of, processes_of, wait_until

    location = StoreLocation.parse("s3://cm4storage/load", server_dir=tmp_path / "server")
    with open_store(location, retry_limit_s=2.0) as store:
        store.write("key", [memoryview(bytes(MIB))])
        os.kill(pid_of(tmp_path / "server", "server"), 9)
        with pytest.raises(StorageFault, match="the embedded server of this run has ended"):
            store.write("key", (memoryview(bytes(MIB)) for _ in range(64)))
    wait_until(lambda: not processes_of(tmp_path / "server"), "the supervisor ends")
