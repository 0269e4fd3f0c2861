"""What every client of S3 must do, on a real server and on services that misbehave.

A test module subclasses `S3Contract`, in a file of its own so that they run side by side.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from raw_services import RawService, answer
from store_contract import MIB, StoreContract, content, keys, put

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.objects import s3_service
from cm4storage.storage.objects.client import DIGEST_NAME
from cm4storage.storage.objects.conduct import Conduct
from cm4storage.storage.objects.s3_service import S3Service, of_embedded
from cm4storage.storage.objects.store import ObjectStore
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.embedded import EmbeddedServer

_numbers = itertools.count()
_PAGE = (
    "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>prefix/a</Key><Size>5</Size>"
    "<LastModified>2024-01-01T00:00:00Z</LastModified><ETag>x</ETag></Contents></ListBucketResult>"
)


class S3Contract(StoreContract):
    backend: ClassVar[str] = "s3"
    client: ClassVar[str]

    @pytest.fixture
    def prefix(self) -> str:
        return f"root-{next(_numbers)}/with space"

    @pytest.fixture
    def service(self, s3_server: EmbeddedServer) -> S3Service:
        return of_embedded(s3_server, self.client)

    @pytest.fixture
    def open_again(
        self, service: S3Service, s3_server: EmbeddedServer, prefix: str
    ) -> Iterator[Callable[..., ObjectStore]]:
        opened = []

        def open_again(conduct: Conduct = Conduct()) -> ObjectStore:  # noqa: B008
            opened.append(ObjectStore(s3_server.bucket, prefix, service, conduct))
            return opened[-1]

        yield open_again
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_again: Callable[..., ObjectStore]) -> ObjectStore:
        return open_again()

    @pytest.fixture
    def debris(self, s3_server: EmbeddedServer, boto: Any) -> Callable[[], list[str]]:
        return lambda: [each["Key"] for each in _uploads(boto, s3_server)]

    @pytest.fixture
    def open_raw(self) -> Iterator[Callable[..., ObjectStore]]:
        """Open a store on a service that answers what a test wants."""
        opened = []

        def open_raw(raw: RawService, **settings: Any) -> ObjectStore:
            service = S3Service(raw.url, "AK", "SK", client_name=self.client, **settings)
            conduct = Conduct(retry_limit_s=2.0)
            opened.append(ObjectStore("bucket", "prefix", service, conduct))
            return opened[-1]

        yield open_raw
        for store in opened:
            store.close()

    def test_a_missing_bucket_is_told_with_how_to_make_it(self, service: S3Service) -> None:
        store = ObjectStore("no-such-bucket", "", service)
        create = (
            rf"(?s)bucket does not exist.*s3 mb s3://no-such-bucket --endpoint-url {service.name}"
        )
        with pytest.raises(MissingObject, match=create):
            store.read("key").__enter__()
        with pytest.raises(MissingObject, match=create):
            list(store.list())
        with pytest.raises(MissingObject, match=r"s3://no-such-bucket/key at http://127\.0\.0\.1"):
            store.stat("key")
        store.close()

    @pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
    def test_wrong_credentials_are_refused_at_once_and_not_told(
        self, s3_server: EmbeddedServer, wrong: str
    ) -> None:
        found = self.in_a_process("refused", s3_server, {wrong: "WRONGWRONGWRONG"})
        assert found["retries"] == 0
        assert found["kinds"] == ["StorageFault"] * 5
        for text in found["texts"]:
            assert "the service refused" in text
        told = json.dumps(found)
        for secret in ("WRONGWRONG", s3_server.access_key_id, s3_server.secret_access_key):
            assert secret not in told

    @pytest.mark.needs("proxies")
    def test_loopback_bypasses_every_proxy(self, s3_server: EmbeddedServer) -> None:
        with RawService(b"") as proxy:
            names = ["http_proxy", "https_proxy", "all_proxy"]
            variables = dict.fromkeys([*names, *map(str.upper, names)], proxy.url)
            found = self.in_a_process("works", s3_server, {}, variables)
            assert found == {"works": True, "lent": []}
            assert proxy.requests == []

    def test_nothing_of_the_environment_reaches_an_embedded_server(
        self, s3_server: EmbeddedServer
    ) -> None:
        variables = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "else",
            "AWS_SESSION_TOKEN": "token",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
            "AWS_REGION": "eu-central-1",
            "AWS_PROFILE": "nobody",
        }
        found = self.in_a_process("works", s3_server, {}, variables)
        assert found == {"works": True, "lent": []}

    @pytest.mark.needs("several-services")
    def test_two_users_in_one_process(
        self, s3_server: EmbeddedServer, service: S3Service, store: ObjectStore
    ) -> None:
        put(store, "object", b"x")
        stranger = S3Service(service.endpoint_url, "NOBODY", "SK", client_name=self.client)
        other = ObjectStore(s3_server.bucket, "", stranger)
        with pytest.raises(StorageFault, match="the service refused"):
            other.stat("object")
        other.close()
        assert keys(store) == ["object"]

    @pytest.mark.needs("metadata")
    def test_the_digest_is_beside_the_object(
        self, store: ObjectStore, prefix: str, s3_server: EmbeddedServer, boto: Any
    ) -> None:
        put(store, "object", content(5_000))
        head = boto.head_object(Bucket=s3_server.bucket, Key=f"{prefix}/object")
        assert len(head["Metadata"][DIGEST_NAME]) == 32

    @pytest.mark.needs("read-into")
    def test_a_large_object_is_not_held_twice(self, store: ObjectStore) -> None:
        size = 48 * MIB
        store.write("large", (memoryview(content(MIB)) for _ in range(48)))
        buffer = memoryview(bytearray(b"x") * size)
        before = _reset_peak_bytes()
        assert store.read_into("large", buffer) == size
        assert _memory_bytes("VmHWM") - before < size // 2
        assert bytes(buffer[-MIB:]) == content(MIB)

    @pytest.mark.needs("streaming-write", "multipart")
    def test_parts_are_sent_while_others_are_made(
        self, open_again: Callable[..., ObjectStore], s3_server: EmbeddedServer, boto: Any
    ) -> None:
        seen = Counter[str]()

        def chunks() -> Iterator[memoryview]:
            for _ in range(12):
                for upload in _uploads(boto, s3_server):
                    place = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                    parts = boto.list_parts(Bucket=s3_server.bucket, **place)
                    seen["parts"] = max(seen["parts"], len(parts.get("Parts", [])))
                yield memoryview(bytes(5 * MIB))

        store = open_again(Conduct(part_bytes=5 * MIB))
        assert store.write("made slowly", chunks()) == 60 * MIB
        assert seen["parts"] > 0
        store.delete("made slowly")

    @pytest.mark.needs("lazy-list")
    def test_lists_no_further_than_it_is_asked(self, store: ObjectStore) -> None:
        names = [f"many/{number:05}" for number in range(1_010)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: put(store, name, b""), names))
        found = store.list("many/")
        assert next(found).key == names[0]
        store.delete(names[-1])
        assert [item.key for item in found] == names[1:-1]

    @pytest.mark.needs("checked-ranges")
    def test_another_range_than_was_asked_for_is_never_taken_for_it(
        self, open_raw: Callable[..., ObjectStore]
    ) -> None:
        extra = "Content-Range: bytes 500-999/1000\r\n"
        with RawService(answer("206 Partial Content", b"b" * 500, extra=extra)) as raw:
            store = open_raw(raw)
            for use in (
                lambda: store.read("key", start=100, length=500).__enter__(),
                lambda: store.read_into("key", memoryview(bytearray(1000))),
            ):
                with pytest.raises(StorageFault, match="cannot read the object"):
                    use()

    @pytest.mark.needs("counted-retries")
    def test_a_busy_service_is_asked_again_and_that_is_counted(
        self, open_raw: Callable[..., ObjectStore]
    ) -> None:
        busy = answer("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>")
        cut = answer("200 OK", b"d", length=4)
        with RawService(busy, cut, answer("200 OK", b"data")) as raw:
            store = open_raw(raw)
            with store.read("key") as view:
                assert view == b"data"
            assert store.retries == 2
            assert len(raw.requests) == 3

    @pytest.mark.needs("counted-parts")
    def test_a_page_that_is_asked_for_again_is_counted(
        self, open_raw: Callable[..., ObjectStore]
    ) -> None:
        busy = answer("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>")
        with RawService(busy, answer("200 OK", _PAGE.encode())) as raw:
            store = open_raw(raw)
            assert keys(store) == ["a"]
            assert store.retries == 1

    @pytest.mark.needs("virtual-hosts")
    def test_buckets_can_be_hosts(
        self, open_raw: Callable[..., ObjectStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with RawService(answer("200 OK", b"data")) as raw:
            # No name below a host resolves in a test: a proxy gets the address as it is meant.
            monkeypatch.setenv("http_proxy", raw.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            raw.url = "http://s3.example.test:9000"
            store = open_raw(raw, virtual_hosts=True)
            with store.read("key") as view:
                assert view == b"data"
            request = raw.requests[0]
            assert request.startswith("GET http://bucket.s3.example.test:9000/prefix/key")
            assert "host: bucket.s3.example.test:9000\r\n" in request.lower()

    @pytest.mark.needs("anonymous")
    def test_requests_can_be_left_unsigned(self, open_raw: Callable[..., ObjectStore]) -> None:
        with RawService(answer("200 OK", b"data")) as raw:
            store = open_raw(raw, anonymous=True)
            with store.read("key") as view:
                assert view == b"data"
            assert "authorization" not in raw.requests[0].lower()

    @pytest.mark.needs("renewed-credentials", "several-services")
    def test_credentials_are_renewed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        script = tmp_path / "new_keys.py"
        script.write_text(
            "import datetime, json, secrets\n"
            "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)\n"
            "print(json.dumps({'Version': 1, 'AccessKeyId': 'AK' + secrets.token_hex(8),\n"
            "  'SecretAccessKey': 'SK', 'SessionToken': 'T', 'Expiration': end.isoformat()}))\n"
        )
        config = tmp_path / "config"
        process = f"credential_process = {sys.executable} {script}"
        config.write_text(f"[profile short]\nregion = eu-west-1\n{process}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_PROFILE", "short")
        with RawService(answer("200 OK", b"data")) as raw:
            service = s3_service.from_environment(raw.url, client_name=self.client)
            store = ObjectStore("bucket", "", service)
            for _ in range(100):
                with store.read("key") as view:
                    assert view == b"data"
                if len({_access_key(request) for request in raw.requests}) > 1:
                    break
                time.sleep(0.05)
            store.close()
            assert len({_access_key(request) for request in raw.requests}) > 1
            assert "/eu-west-1/s3/" in raw.requests[0]
            assert "x-amz-security-token: t\r\n" in raw.requests[0].lower()

    def test_a_second_service_is_refused_where_there_can_be_but_one(
        self, store: ObjectStore
    ) -> None:
        if self.client != "s3dlio":
            pytest.skip("this client talks to several services")
        put(store, "object", b"x")
        with pytest.raises(UserError, match=f"{self.client} can use one service in a process"):
            ObjectStore("b", "", S3Service("http://127.0.0.1:9", "A", "B", client_name=self.client))

    def in_a_process(
        self,
        what: str,
        server: EmbeddedServer,
        other: dict[str, str],
        variables: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Try `what` in a process of its own, since some clients know one service in each."""
        access = {
            "endpoint_url": server.endpoint_url,
            "access_key_id": server.access_key_id,
            "secret_access_key": server.secret_access_key,
            "client_name": self.client,
        }
        done = subprocess.run(
            [sys.executable, Path(__file__).parent / "client_process.py", what],
            input=json.dumps(access | other),
            env=os.environ | (variables or {}),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _uploads(boto: Any, server: EmbeddedServer) -> list[Any]:
    return list(boto.list_multipart_uploads(Bucket=server.bucket).get("Uploads", []))


def _access_key(request: str) -> str:
    return request.partition("Credential=")[2].partition("/")[0]


def _memory_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _reset_peak_bytes() -> int:
    """Let the kernel measure the peak of this process's memory anew; return what it holds."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pytest.skip("this kernel does not measure peaks anew")
    return _memory_bytes("VmRSS")
