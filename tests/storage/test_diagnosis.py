"""What `cm4storage check` finds out: of good locations, and of each way in which one can be bad."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import errno
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from listening import Listener
from server_processes import SOURCE

from cm4storage.core.errors import StorageFault
from cm4storage.storage.diagnosis import operations
from cm4storage.storage.diagnosis.bench import Access, Bench
from cm4storage.storage.diagnosis.runner import diagnose
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from cm4storage.storage.diagnosis.findings import Diagnosis, Finding
    from cm4storage.storage.embedded import EmbeddedServer

SECRET = "planted-secret-5f2c"
COMMAND = [sys.executable, "-m", "cm4storage", "check"]


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def of(text: str, **options: Any) -> Diagnosis:
    """Return the diagnosis of a location, of which no secret is part."""
    told: list[Finding] = []
    diagnosis = diagnose(StoreLocation.parse(text, **options), told.append)
    assert tuple(told) == diagnosis.findings
    assert SECRET not in json.dumps(diagnosis.as_json())
    return diagnosis


def named(diagnosis: Diagnosis, status: str) -> list[str]:
    return [finding.name for finding in diagnosis.findings if finding.status == status]


def the(diagnosis: Diagnosis, name: str) -> Finding:
    (found,) = (finding for finding in diagnosis.findings if finding.name == name)
    return found


def assert_explained(diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings:
        if finding.status == "failed":
            assert finding.text, finding
            assert finding.where, finding
            assert finding.advice, finding
        if finding.status == "not tried":
            assert finding.text, finding


def test_a_folder_is_good_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    diagnosis = of(str(tmp_path))
    assert diagnosis.is_good
    assert named(diagnosis, "not tried") == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert the(diagnosis, "space").figures["free_bytes"] > 0
    assert the(diagnosis, "file system").figures["type"] != "unknown"
    figures = the(diagnosis, "latency").figures
    assert figures["count"] == 20
    assert 0 < figures["min_s"] <= figures["median_s"] <= figures["max_s"]
    for name in ("write speed", "read speed"):
        figures = the(diagnosis, name).figures
        assert figures["mb_per_s"] == pytest.approx(figures["mib_per_s"] * 1.048576)


def test_a_folder_that_is_not_there_is_not_there_afterwards(tmp_path: Path) -> None:
    assert of(str(tmp_path / "new" / "folder")).is_good
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def own_service(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give the options of the embedded server as if it were a service of the user's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    return {"endpoint_url": s3_server.endpoint_url}


def left_in(boto: Any, bucket: str, prefix: str) -> list[str]:
    objects = boto.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    uploads = boto.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", [])
    return [each["Key"] for each in [*objects, *uploads]]


def test_an_s3_service_is_good_and_left_as_it_was(
    own_service: dict[str, str], s3_server: EmbeddedServer, boto: Any
) -> None:
    diagnosis = of(f"s3://{s3_server.bucket}/diagnosis/good", **own_service)
    assert named(diagnosis, "failed") == []
    assert named(diagnosis, "not tried") == ["TLS"]
    assert the(diagnosis, "credentials").text == "from AWS_ACCESS_KEY_ID"
    assert "Content-MD5" in the(diagnosis, "checksums").text
    assert the(diagnosis, "listing").figures == {"in_key_order": False}
    assert the(diagnosis, "abort").status == the(diagnosis, "open uploads").status == "ok"
    assert s3_server.secret_access_key not in json.dumps(diagnosis.as_json())
    assert left_in(boto, s3_server.bucket, "diagnosis/good") == []


def test_an_embedded_server_is_started_and_asked(server_dir: Path) -> None:
    diagnosis = of("s3://cm4storage/prefix", server_dir=server_dir)
    assert named(diagnosis, "failed") == []
    assert diagnosis.findings[0].name == "server"


def test_a_wrong_secret_is_told_from_all_else(
    own_service: dict[str, str], s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    diagnosis = of(f"s3://{s3_server.bucket}/x", **own_service)
    assert named(diagnosis, "failed") == ["accepted"]
    assert "secret key does not belong" in the(diagnosis, "accepted").meaning
    assert_explained(diagnosis)


def test_a_missing_bucket_is_named(own_service: dict[str, str]) -> None:
    diagnosis = of("s3://no-such-bucket/x", **own_service)
    assert named(diagnosis, "failed") == ["bucket"]
    assert the(diagnosis, "accepted").status == "ok"
    assert the(diagnosis, "write").text == "needs: bucket"
    assert_explained(diagnosis)


def test_missing_credentials_do_not_keep_the_network_from_being_looked_at(
    s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    diagnosis = of(f"s3://{s3_server.bucket}/x", endpoint_url=s3_server.endpoint_url)
    assert named(diagnosis, "failed") == ["credentials"]
    assert the(diagnosis, "HTTP").status == "ok"
    assert_explained(diagnosis)


def test_a_closed_port_is_no_matter_of_credentials() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    diagnosis = of("s3://bucket/x", endpoint_url=f"http://127.0.0.1:{port}")
    assert named(diagnosis, "failed") == ["connection"]
    assert "refused" in the(diagnosis, "connection").text
    assert the(diagnosis, "name").status == the(diagnosis, "credentials").status == "ok"
    assert_explained(diagnosis)


def test_a_name_that_nobody_knows_is_told_from_a_closed_port() -> None:
    diagnosis = of("s3://bucket/x", endpoint_url="http://no.such.host.invalid")
    assert named(diagnosis, "failed") == ["name"]
    assert_explained(diagnosis)


class Answering(Listener):
    """Each of its connections is answered by `answer`, in a thread of its own."""

    def __init__(
        self, answer: Callable[[socket.socket], None], context: ssl.SSLContext | None
    ) -> None:
        super().__init__()
        self._answer, self._context = answer, context

    def meet(self, link: socket.socket) -> None:
        threading.Thread(target=self._converse, args=[link], daemon=True).start()

    def _converse(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError):
            secure = self._context.wrap_socket(link, server_side=True) if self._context else link
            with secure:
                secure.recv(65536)
                self._answer(secure)


@contextlib.contextmanager
def service_that(
    answer: Callable[[socket.socket], None], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Give the endpoint of a service each of whose connections is answered by `answer`."""
    with Answering(answer, context) as service:
        yield f"{'https' if context else 'http'}://127.0.0.1:{service.port}"


def refusal(code: str, *, clock_s: float = 0.0) -> Callable[[socket.socket], None]:
    """Return what answers 403, by a clock that is `clock_s` ahead."""

    def answer(link: socket.socket) -> None:
        body = f"<Error><Code>{code}</Code></Error>" if code else ""
        date = email.utils.formatdate(time.time() + clock_s, usegmt=True)
        head = f"HTTP/1.1 403 Forbidden\r\nDate: {date}\r\nConnection: close\r\n"
        link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    return answer


@pytest.mark.parametrize(
    ("code", "meaning"),
    [("InvalidAccessKeyId", "does not know the access key"), ("", "credentials are wrong")],
)
def test_a_service_that_refuses_is_reachable(code: str, meaning: str) -> None:
    with service_that(refusal(code)) as endpoint_url:
        diagnosis = of("s3://bucket/x", endpoint_url=endpoint_url)
    assert named(diagnosis, "failed") == ["accepted"]
    assert meaning in the(diagnosis, "accepted").meaning
    assert the(diagnosis, "HTTP").figures["http_status"] == 403
    assert the(diagnosis, "clock").status == "ok"
    assert_explained(diagnosis)


def test_who_must_not_list_may_write_perhaps() -> None:
    with service_that(refusal("AccessDenied")) as endpoint_url:
        diagnosis = of("s3://bucket/x", endpoint_url=endpoint_url)
    assert "must not list" in the(diagnosis, "accepted").text
    assert named(diagnosis, "failed") == ["write", "clean up"]


@pytest.mark.parametrize(("clock_s", "side"), [(-3600, "behind"), (7200, "ahead of")])
def test_clocks_that_differ_are_found(clock_s: float, side: str) -> None:
    with service_that(refusal("RequestTimeTooSkewed", clock_s=clock_s)) as endpoint_url:
        diagnosis = of("s3://bucket/x", endpoint_url=endpoint_url)
    assert named(diagnosis, "failed") == ["clock", "accepted"]
    assert f"{side} this machine's" in the(diagnosis, "clock").text
    assert_explained(diagnosis)


def test_a_service_that_never_answers_is_found_within_seconds() -> None:
    released = threading.Event()
    with service_that(lambda _link: released.wait() and None) as endpoint_url:
        diagnosis = of("s3://bucket/x", endpoint_url=endpoint_url)
        released.set()
    assert named(diagnosis, "failed") == ["HTTP"]
    assert "does not answer" in the(diagnosis, "HTTP").text
    assert_explained(diagnosis)


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's side of TLS, with a certificate that nobody vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1).add_extension(names, False)
    day = datetime.timedelta(1)
    certificate = builder.not_valid_before(now - day).not_valid_after(now + day)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(certificate.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_a_certificate_of_nobody_is_no_matter_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service_that(refusal("x"), self_signed(tmp_path)) as endpoint_url:
        diagnosis = of("s3://bucket/x", endpoint_url=endpoint_url)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        trusting = of("s3://bucket/x", endpoint_url=endpoint_url)
    assert "certificate is not accepted" in the(diagnosis, "TLS").text
    assert the(diagnosis, "HTTP").status == "ok"
    assert the(trusting, "TLS").status == "ok"
    assert_explained(diagnosis)


def test_plain_http_behind_https_is_found() -> None:
    with service_that(refusal("x")) as endpoint_url:
        url = endpoint_url.replace("http://", "https://")
        diagnosis = of("s3://bucket/x", endpoint_url=url)
    assert named(diagnosis, "failed") == ["TLS"]
    assert "plain http" in the(diagnosis, "TLS").meaning


AS_NOBODY = """
import locale, os, shutil, sys
from cm4storage.cli.main import main
import cm4storage.cli.check, cm4storage.storage.diagnosis.runner, cm4storage.report.console, xxhash
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(["check", "--data_dir=" + sys.argv[1]]))
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.parametrize("mode", [0, 0o555])
def test_a_folder_without_permission_fails_with_its_cause(mode: int) -> None:
    """Root gives its rights up only after the imports: others may not enter its interpreter."""
    with tempfile.TemporaryDirectory() as parent:  # one of pytest's would be closed to others
        Path(parent).chmod(0o755)
        folder = Path(parent) / "closed"
        folder.mkdir()
        folder.chmod(mode)
        done = run(sys.executable, "-c", AS_NOBODY, str(folder))
        folder.chmod(0o700)
        assert list(folder.iterdir()) == []
    assert done.returncode == 3, done
    assert "cause: this user has no permission" in done.stdout
    assert "to do: check with `namei -l PATH`" in done.stdout


@pytest.mark.parametrize("below", ["inner", "inner/most"])
def test_a_folder_that_may_not_be_entered_fails_with_its_cause(below: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "closed"
        (folder / "inner").mkdir(parents=True)
        folder.chmod(0o600)
        done = run(sys.executable, "-c", AS_NOBODY, str(folder / below))
        folder.chmod(0o700)
        assert (folder / "inner").is_dir()
    assert done.returncode == 3, done
    assert "cause: this user has no permission" in done.stdout


def test_a_name_that_is_too_long_fails_with_its_cause(tmp_path: Path) -> None:
    diagnosis = of(str(tmp_path / ("x" * 300) / "y"))
    assert named(diagnosis, "failed")[0] == "write"
    assert "longer than the file system allows" in the(diagnosis, "write").meaning
    assert list(tmp_path.iterdir()) == []


def test_a_failing_device_fails_the_probe_that_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    diagnosis = of(str(tmp_path))
    assert named(diagnosis, "failed") == ["read speed"]
    assert "the device failed" in the(diagnosis, "read speed").meaning
    assert_explained(diagnosis)


def test_a_read_only_file_system_fails_with_its_cause(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o ro none "$1" && shift && exec "$@"'
    command = [*COMMAND, f"--data_dir={tmp_path}"]
    done = run("unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), *command)
    if done.returncode != 3 and "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr}")
    assert done.returncode == 3, done
    assert "mounted read-only" in done.stdout
    assert "cause: the file system is mounted read-only" in done.stdout


def test_a_file_in_place_of_the_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    diagnosis = of(str(tmp_path / "file"))
    assert named(diagnosis, "failed") == ["folder"]


class Mixing(StoreWrapper):
    """A store that gives a range of one byte too much, and forgets the last key of a listing."""

    def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[memoryview]:
        return self._store.read(key, start=start, length=length and length + 1)

    def list(self, prefix: str = "") -> Any:
        return iter(list(self._store.list(prefix))[:-1])


def test_a_store_that_does_other_than_it_is_told_is_found(tmp_path: Path) -> None:
    bench = Bench(StoreLocation.parse(str(tmp_path)))
    bench.access = Access(Mixing(FileStore(tmp_path)))
    probes = {probe.name: probe for probe in operations.before_others("folder")}
    probes["write"].ask(bench)
    probes["read"].ask(bench)
    for name in ("range", "list"):
        with pytest.raises(StorageFault, match="gives something else"):
            probes[name].ask(bench)
    bench.clean()
    assert bench.ledger.left == []
    assert list(tmp_path.iterdir()) == []


# Both signals end it in the same way: the second is tried once, and each time in the soak.
@pytest.mark.parametrize(
    ("line", "number"),
    [
        *((line, signal.SIGINT) for line in ("write", "digest", "latency", "write speed")),
        ("write speed", signal.SIGTERM),
        *(
            pytest.param(line, signal.SIGTERM, marks=pytest.mark.soak)
            for line in ("write", "digest", "latency")
        ),
    ],
)
def test_nothing_is_left_behind_by_a_check_that_is_broken_off(
    own_service: dict[str, str],
    s3_server: EmbeddedServer,
    boto: Any,
    line: str,
    number: signal.Signals,
) -> None:
    prefix = f"diagnosis/broken-off-{line.replace(' ', '-')}-{number}"
    options = [f"--{name}={value}" for name, value in own_service.items()]
    process = subprocess.Popen(
        [*COMMAND, f"--data_dir=s3://{s3_server.bucket}/{prefix}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert process.stdout is not None
    while not process.stdout.readline().startswith(f"  {line} "):
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert left_in(boto, s3_server.bucket, prefix) == []


def test_nothing_is_left_behind_by_a_check_that_is_broken_off_while_it_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = FileStore.delete
    slow = iter([True])

    def interrupted(store: FileStore, key: str) -> None:
        if key.endswith("small") and next(slow, False):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        delete(store, key)

    monkeypatch.setattr(FileStore, "delete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        diagnose(StoreLocation.parse(str(tmp_path)), lambda _: None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_outcome_is_there_for_programs(tmp_path: Path) -> None:
    done = run(
        *COMMAND, f"--data_dir={tmp_path / 'd'}", "--json", f"--result_file={tmp_path / 'r'}"
    )
    assert done.returncode == 0, done
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "r").read_text())
    assert document["ok"] is True
    assert {probe["status"] for probe in document["probes"]} == {"ok"}
    (read,) = (probe for probe in document["probes"] if probe["name"] == "read speed")
    assert read["figures"]["bytes"] == 32 * 2**20


def test_the_brief_check_says_one_thing(tmp_path: Path) -> None:
    done = run(*COMMAND, f"--data_dir={tmp_path}", "--brief", f"--result_file={tmp_path / 'r'}")
    assert done.returncode == 0, done
    assert f"storage file://{tmp_path} works" in done.stderr
    assert "read_range" in json.loads((tmp_path / "r").read_text())["latency_s"]
