"""What users may write as a location, and what the errors say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cm4storage.core.errors import UserError
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.store import InvalidKey


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/data", "/data"),
        ("data", "/caller/data"),
        ("./a/../data", "/caller/data"),
        ("/a b%20c", "/a b%20c"),
        ("file:///a%20b", "/a b"),
        ("file://localhost/data", "/data"),
        ("FILE:///data/", "/data"),
        ("a:b", "/caller/a:b"),
    ],
)
def test_folders(text: str, path: str) -> None:
    location = StoreLocation.parse(text, relative_to=Path("/caller"))
    assert location.scheme == "file"
    assert location.path == Path(path)
    assert StoreLocation.parse(location.uri) == location


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    assert StoreLocation.parse("~/data").path == Path("/somebody/data")


@pytest.mark.parametrize(
    "text", ["directio:///a%20b", "direct:///a%20b", "DIRECTIO://localhost/a b", "direct:///a b/"]
)
def test_folders_without_the_page_cache(text: str) -> None:
    location = StoreLocation.parse(text)
    assert (location.uri, location.is_folder) == ("directio:///a%20b", True)
    assert location.path == Path("/a b")
    assert location.child("x y").uri == "directio:///a%20b/x%20y"


def test_a_container() -> None:
    location = StoreLocation.parse("az://container/a b", client="azure")
    assert (location.scheme, location.bucket, location.prefix) == ("az", "container", "a b")
    assert location.child("c").client == "azure"


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket/a/b c/", "bucket", "a/b c"),
        ("S3://bucket/100%25", "bucket", "100%25"),
        ("s3://bucket/q?u#e", "bucket", "q?u#e"),
    ],
)
def test_buckets(text: str, bucket: str, prefix: str) -> None:
    location = StoreLocation.parse(text)
    assert (location.scheme, location.bucket, location.prefix) == ("s3", bucket, prefix)
    assert StoreLocation.parse(location.uri) == location


def test_children() -> None:
    s3 = StoreLocation.parse("s3://bucket", endpoint_url="http://host:1")
    child = s3.child("unet3d-ab12").child("train x")
    assert child.uri == "s3://bucket/unet3d-ab12/train x"
    assert child.endpoint_url == "http://host:1"
    assert StoreLocation.parse("/data").child("a b%/c").path == Path("/data/a b%/c")
    with pytest.raises(InvalidKey, match="cannot name an object"):
        s3.child("../other")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "gs://bucket/x",
            {},
            r"(?s)unknown storage scheme gs://.*file://, directio://, s3://, az://",
        ),
        ("http://host/x", {}, r"unknown storage scheme http://"),
        ("s3://", {}, r"(?s)bucket is missing.*s3://bucket/prefix"),
        ("s3:///prefix", {}, r"bucket is missing"),
        ("az://", {}, r"(?s)container is missing.*az://container/prefix"),
        ("direct://server/share", {}, r"(?s)cannot name another host.*direct:///folder"),
        ("directio:///data", {"client": "boto3"}, r"a folder needs no object service"),
        ("s3://b", {}, r"cannot be a bucket's name"),
        ("s3://host:9000/bucket", {}, r"(?s)cannot be a bucket's name.*endpoint"),
        ("s3://bucket/../x", {}, r"cannot name an object"),
        ("file://server/share", {}, r"(?s)cannot name another host.*three slashes"),
        ("", {}, r"name is empty"),
        ("a\0b", {}, r"zero byte"),
        ("/data", {"endpoint_url": "http://h"}, r"a folder needs no object service"),
        ("/data", {"server_dir": Path("/d")}, r"a folder needs no object service"),
        ("/data", {"endpoint_url": "http://h"}, r"(?s)to do: leave the endpoint out"),
        ("/data", {"server_dir": Path("/d")}, r"(?s)to do: leave the embedded server out"),
        ("/data", {"client": "boto3"}, r"(?s)to do: leave the client out"),
        (
            "/data",
            {"endpoint_url": "http://h", "client": "boto3"},
            r"(?s)to do: leave the endpoint and the client out",
        ),
        ("s3://bucket", {"endpoint_url": "host:9000"}, r"malformed endpoint"),
        ("s3://bucket", {"endpoint_url": "http://"}, r"malformed endpoint"),
        ("s3://bucket", {"endpoint_url": "http://h:x"}, r"malformed endpoint"),
        ("s3://bucket", {"endpoint_url": "http://h?x=1"}, r"no query"),
        ("s3://bucket", {"server_dir": Path("rel")}, r"must be absolute"),
        ("s3://bucket", {"server_dir": Path("file:///x")}, r"(?s)not a URI.*absolute path"),
        ("s3://bucket", {"server_dir": Path("file:///x").absolute()}, r"a path, not a URI"),
        ("s3://bucket", {"server_dir": Path("/tmp/s3://bucket/x")}, r"a path, not a URI"),
        (
            "s3://bucket",
            {"endpoint_url": "http://h", "server_dir": Path("/d")},
            r"an endpoint or an embedded server, not both",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        StoreLocation.parse(text, **options)  # type: ignore[arg-type]
    assert caught.type in (UserError, InvalidKey)


def test_credentials_in_an_endpoint_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="must not hold credentials") as caught:
        StoreLocation.parse("s3://bucket", endpoint_url="http://me:hunter2@host:1")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be a bucket's name") as caught:
        StoreLocation.parse("s3://me:hunter2@bucket/x")
    assert "hunter2" not in str(caught.value)


def test_importing_the_storage_layer_loads_nothing_heavy() -> None:
    program = (
        "import sys, cm4storage.storage.opening, cm4storage.storage.check, "
        "cm4storage.storage.objects.store, cm4storage.storage.embedded\n"
        "print([name for name in ('numpy', 'obstore', 'boto3') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert result.stdout == b"[]\n"
