"""Where the settings of S3 come from, and that every client goes by them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tls_front import TlsFront

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects import s3_clients, s3_service
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.storage.embedded import EmbeddedServer

CLIENTS = [name for name in s3_clients.KNOWN if name != "s3dlio" or sys.version_info >= (3, 11)]
IN_PROCESS = ["obstore", "boto3"]
USE = """
import sys
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store
with open_store(StoreLocation.parse("s3://cm4storage/settings", client=sys.argv[1])) as store:
    store.write("key", [memoryview(b"x")])
    with store.read("key") as view:
        assert view == b"x"
    assert [item.key for item in store.list()] == ["key"]
    print(store.stat("key").size_bytes)
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give an empty home, and no settings of the user."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    return tmp_path


def use_in_a_process(client: str) -> str:
    """Let a client work with what the environment says, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", USE, client], env=os.environ, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def in_variables(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)


@pytest.mark.usefixtures("in_variables")
@pytest.mark.parametrize("client", CLIENTS)
def test_variables(client: str) -> None:
    assert use_in_a_process(client) == "1"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_profile_in_shared_files(
    s3_server: EmbeddedServer, home: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    (home / ".aws" / "config").write_text(
        "[profile lab]\nservices = lab\nregion = eu-west-1\n"
        f"[services lab]\ns3 =\n  endpoint_url = {s3_server.endpoint_url}\n"
    )
    (home / ".aws" / "credentials").write_text(
        f"[lab]\naws_access_key_id = {s3_server.access_key_id}\n"
        f"aws_secret_access_key = {s3_server.secret_access_key}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert use_in_a_process(client) == "1"


@pytest.mark.parametrize("client", IN_PROCESS)
def test_the_default_profile_needs_no_variable(
    s3_server: EmbeddedServer, home: Path, client: str
) -> None:
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = {s3_server.access_key_id}\n"
        f"aws_secret_access_key = {s3_server.secret_access_key}\n"
    )
    uri, endpoint = f"s3://{s3_server.bucket}/default", s3_server.endpoint_url
    location = StoreLocation.parse(uri, endpoint_url=endpoint, client=client)
    with open_store(location) as store:
        store.write("key", [memoryview(b"x")])
        assert store.stat("key").size_bytes == 1


def test_settings_of_a_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = home / "ca.pem"
    bundle.write_text("")
    (home / "elsewhere").write_text(
        "[default]\naws_access_key_id = AK\naws_secret_access_key = SK\nregion = eu-north-1\n"
        f"endpoint_url = http://s3.lab:9000/\nca_bundle = {bundle}\n"
        "s3 =\n  addressing_style = virtual\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "elsewhere"))
    service = s3_service.from_environment(None)
    assert service.endpoint_url == "http://s3.lab:9000"
    assert service.region == "eu-north-1"
    assert service.virtual_hosts
    assert service.ca_bundle == str(bundle)
    keys = service.keys()
    assert keys is not None
    assert (keys.access_key_id, keys.secret_access_key) == ("AK", "SK")
    assert "SK" not in repr(service)
    assert "SK" not in repr(keys)


def test_variables_prevail_over_a_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".aws" / "config").write_text(
        "[default]\naws_access_key_id = AK\naws_secret_access_key = SK\nregion = eu-north-1\n"
        "endpoint_url = http://s3.lab:9000\ns3 =\n  addressing_style = virtual\n"
    )
    for name, value in {
        "AWS_ACCESS_KEY_ID": "MINE",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_SESSION_TOKEN": "TOKEN",
        "AWS_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": "http://other:1",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
    }.items():
        monkeypatch.setenv(name, value)
    service = s3_service.from_environment(None)
    assert (service.endpoint_url, service.region) == ("http://other:1", "us-west-2")
    assert not service.virtual_hosts
    keys = service.keys()
    assert keys is not None
    assert (keys.access_key_id, keys.session_token) == ("MINE", "TOKEN")
    assert s3_service.from_environment("http://named:2").endpoint_url == "http://named:2"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert s3_service.from_environment(None).endpoint_url is None


@pytest.mark.parametrize(
    ("variables", "files", "message"),
    [
        ({"AWS_PROFILE": "nobody"}, "", r"(?s)cannot be used.*profile nobody.*AWS_PROFILE"),
        ({"AWS_ACCESS_KEY_ID": "AK"}, "", "half of the credentials for S3 is missing"),
        ({"AWS_CA_BUNDLE": "/nothing/here"}, "", r"(?s)does not exist.*/nothing/here"),
        ({}, "[profile x]\nregion = a\n", "no credentials for the S3 service"),
        ({}, "[default]\ncredential_process = false\n", "cannot be used"),
        ({}, "[default\n", "cannot be used"),
    ],
)
def test_what_is_wrong_is_told(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    files: str,
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if "AWS_CA_BUNDLE" in variables:
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    if files:
        (home / ".aws" / "config").write_text(files)
    with pytest.raises(UserError, match=message):
        s3_service.from_environment("http://127.0.0.1:9")


@pytest.mark.usefixtures("in_variables")
@pytest.mark.parametrize("client", CLIENTS)
def test_https_with_an_authority_of_ones_own(
    s3_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    with TlsFront(tmp_path, urlsplit(s3_server.endpoint_url).port or 0) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(front.ca_file))
        assert use_in_a_process(client) == "1"


@pytest.mark.usefixtures("in_variables")
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("bundle", ["", "other/ca.pem"])
def test_an_unknown_authority_is_told(
    s3_server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: str,
    bundle: str,
) -> None:
    (tmp_path / "other").mkdir()
    port = urlsplit(s3_server.endpoint_url).port or 0
    with TlsFront(tmp_path / "other", port), TlsFront(tmp_path, port) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
        if bundle:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / bundle))
        said = use_in_a_process(client)
        assert "cannot write the object: the service's certificate is not trusted" in said
        assert "name the file of its certificate authority in AWS_CA_BUNDLE" in said
        assert s3_server.secret_access_key not in said


def test_an_unknown_client_is_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    for place in ({"server_dir": folder}, {"endpoint_url": "http://127.0.0.1:9"}):
        location = StoreLocation.parse("s3://bucket", client="curl", **place)  # type: ignore[arg-type]
        with (
            pytest.raises(UserError, match=r"(?s)unknown client of S3: curl.*obstore, boto3"),
            open_store(location),
        ):
            pass
    assert not folder.exists()


@pytest.mark.parametrize(
    ("client", "package", "extra"), [("boto3", "boto3", "s3"), ("s3dlio", "s3dlio", "s3dlio")]
)
def test_a_client_that_is_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, client: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    service = s3_service.S3Service("http://127.0.0.1:9", "AK", "SK", client_name=client)
    with pytest.raises(UserError, match=rf"(?s){client} is not installed.*cm4storage\[{extra}\]"):
        service.client("bucket", "")


@pytest.mark.usefixtures("in_variables")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_verb_takes_a_client(client: str) -> None:
    command = [sys.executable, "-m", "cm4storage", "check", "--data_dir=s3://cm4storage/verb"]
    done = subprocess.run(
        [*command, f"--client={client}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert " 0 failed" in done.stdout


@pytest.mark.usefixtures("in_variables")
@pytest.mark.parametrize("client", IN_PROCESS)
def test_a_wrong_secret_is_refused_and_not_told(
    s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-planted-secret")
    location = StoreLocation.parse(f"s3://{s3_server.bucket}/x", client=client)
    with open_store(location) as store, pytest.raises(StorageFault, match="refused") as caught:
        store.write("key", [memoryview(b"x")])
    assert "planted" not in str(caught.value)
