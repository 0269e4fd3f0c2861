"""That `cm4storage check` asks where the clients ask, with the settings that they have."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from tls_front import TlsFront

from cm4storage.storage.diagnosis import s3_probes
from cm4storage.storage.diagnosis.bench import Access, Bench
from cm4storage.storage.diagnosis.findings import Finding, NotTried, Observation
from cm4storage.storage.diagnosis.runner import diagnose
from cm4storage.storage.diagnosis.services import Endpoint, credentials_source, endpoint_url_of
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects.s3_service import S3Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cm4storage.storage.embedded import EmbeddedServer

S3 = StoreLocation.parse("s3://bucket/x")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")


def findings_of(location: StoreLocation) -> dict[str, Finding]:
    return {each.name: each for each in diagnose(location, lambda _finding: None).findings}


def test_authorities_of_the_settings_are_trusted(
    tmp_path: Path, s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    port = urlsplit(s3_server.endpoint_url).port
    assert port is not None
    with TlsFront(tmp_path, port) as front:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(front.ca_file))
        text = f"s3://{s3_server.bucket}/diagnosis/tls"
        found = findings_of(StoreLocation.parse(text, endpoint_url=front.url))
    assert {name: each for name, each in found.items() if each.status != "ok"} == {}
    assert {"TLS", "checksums", "open uploads"} <= found.keys()


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_a_bundle_that_holds_no_certificate_is_named(
    tmp_path: Path, s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    (tmp_path / "bundle").write_text("nothing")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "bundle"))
    url = s3_server.endpoint_url.replace("http://", "https://")
    place = StoreLocation.parse("s3://bucket/x", endpoint_url=url, client=client)
    found = findings_of(place)
    failed = [each for each in found.values() if each.status == "failed"]
    assert [each.name for each in failed] == {
        "obstore": ["credentials", "TLS"],
        "boto3": ["TLS"],
    }[client]
    assert {each.where for each in failed} == {str(tmp_path / "bundle")}


@contextlib.contextmanager
def recording_proxy() -> Iterator[tuple[int, list[bytes]]]:
    """Give the port of a proxy that refuses all, and what it was sent."""
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                with link:
                    if head := link.recv(65536):
                        heads.append(head)
                        link.sendall(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener], daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], heads
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_gets_its_password_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with recording_proxy() as (port, heads):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:p%40ss@127.0.0.1:{port}")
        place = StoreLocation.parse("s3://bucket/x", endpoint_url=f"{scheme}://host.invalid")
        found = findings_of(place)
    login = base64.b64encode(b"me:p@ss").decode()
    first = heads[0].decode()
    assert first.startswith("CONNECT" if scheme == "https" else "GET http://host.invalid/")
    assert f"Proxy-Authorization: Basic {login}\r\n" in first
    shown = json.dumps([each.as_json() for each in found.values()])
    assert not any(secret in shown for secret in (login, "p@ss", "p%40ss"))
    assert "p%40ss" not in repr(Endpoint.of(f"{scheme}://host.invalid"))


def test_an_endpoint_that_is_ignored_hears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile there]\nregion = eu-south-9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "there")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    with recording_proxy() as (trap_port, trapped), recording_proxy() as (port, heads):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{trap_port}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        found = findings_of(S3)
    assert found["name"].figures["endpoint_url"] == "https://s3.eu-south-9.amazonaws.com"
    assert heads[0].startswith(b"CONNECT s3.eu-south-9.amazonaws.com:443 ")
    assert trapped == []


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "https://s3.us-east-1.amazonaws.com"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL_S3": "http://a", "AWS_ENDPOINT_URL": "http://b"}, "http://a"),
        (
            {"AWS_ENDPOINT_URL": "http://b", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "yes"},
            "https://s3.us-east-1.amazonaws.com",
        ),
    ],
)
def test_without_credentials_the_endpoint_is_known_all_the_same(
    environment: dict[str, str], url: str
) -> None:
    assert endpoint_url_of(S3, environment) == url


@pytest.mark.parametrize(("value", "is_unsigned"), [("true", True), ("1", True), ("false", False)])
def test_only_a_true_value_leaves_signatures_out(value: str, is_unsigned: bool) -> None:
    source = credentials_source("s3", {"AWS_SKIP_SIGNATURE": value, "AWS_ACCESS_KEY_ID": "AK"})
    assert ("AWS_SKIP_SIGNATURE" in source) is is_unsigned


def ask_for_checksums(folder: Path, answers: list[tuple[int, str]]) -> Observation:
    """Ask a service that gives these answers, one after the other."""

    def serve(listener: socket.socket) -> None:
        for status, code in answers:
            link, _ = listener.accept()
            with link:
                body = f"<Error><Code>{code}</Code></Error>"
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
                link.sendall((head + body).encode())
                link.shutdown(socket.SHUT_WR)
                while link.recv(65536):
                    pass

    (probe,) = (each for each in s3_probes.PROBES if each.name == "checksums")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve, args=[listener], daemon=True)
        thread.start()
        service: Any = S3Service(url, "AK", "SK")
        bench = Bench(S3, access=Access(FileStore(folder), service), endpoint=Endpoint.of(url))
        seen = probe.ask(bench)
        thread.join(10)
    return seen


def test_only_a_mismatch_counts_as_a_refused_checksum(tmp_path: Path) -> None:
    good = (200, "")
    refusals = [(400, "BadDigest"), (400, "InvalidRequest"), (500, "BadDigest")]
    answers = [each for refusal in refusals for each in (good, refusal)]
    seen = ask_for_checksums(tmp_path, answers)
    assert seen.figures["verifies"] == ["Content-MD5"]


@pytest.mark.parametrize("status", [400, 403, 411, 500])
def test_who_takes_no_right_checksum_is_not_asked_for_wrong_ones(
    tmp_path: Path, status: int
) -> None:
    with pytest.raises(NotTried, match=f"answered {status} to right checksums"):
        ask_for_checksums(tmp_path, [(status, "BadDigest")])
