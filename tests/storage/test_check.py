"""The check of a location, and serving in the foreground."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from azure.storage.blob import BlobServiceClient
from listening import Listener
from server_processes import SOURCE, processes_of, wait_until

from cm4storage.core.errors import StorageFault
from cm4storage.core.files import locked
from cm4storage.storage import check
from cm4storage.storage.check import check_store
from cm4storage.storage.diagnosis import cleaning
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects import service

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.findings import Finding

STEPS = ["open", "write", "read", "read range", "stat", "list", "delete"]


def test_a_folder_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    report = check_store(StoreLocation.parse(str(tmp_path)))
    assert [step.name for step in report.steps] == STEPS
    assert all(step.latency_s >= 0 for step in report.steps)
    assert report.free_bytes is not None
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert json.loads(json.dumps(report.as_json()))["latency_s"]["read_range"] >= 0


@pytest.mark.parametrize("scheme", ["s3", "az"])
def test_an_embedded_server_is_checked(server_dir: Path, scheme: str) -> None:
    location = StoreLocation.parse(f"{scheme}://cm4storage/prefix", server_dir=server_dir)
    report = check_store(location)
    assert [step.name for step in report.steps] == STEPS
    assert report.uri == f"{scheme}://cm4storage/prefix"
    assert report.free_bytes is not None


def test_a_service_that_is_not_there_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    location = StoreLocation.parse("s3://bucket", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(StorageFault, match="cannot write the object: the service is not reachable"):
        check_store(location)


class Answers(Listener):
    """Takes one connection after the other, and gives each its answer when the request is there.

    None is silence until the end; behind the last answer nobody listens any more.
    """

    def __init__(self, *answers: str | None) -> None:
        super().__init__()
        self._answers = list(answers)
        self._silent: list[socket.socket] = []

    def meet(self, link: socket.socket) -> None:
        link.recv(65536)
        answer = self._answers.pop(0)
        if not self._answers:
            self._socket.close()
        if answer is None:
            self._silent.append(link)
            return
        with link:
            link.sendall(answer.encode())

    def __exit__(self, *_: object) -> None:
        if self._socket.fileno() != -1:
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        for link in self._silent:
            link.close()


def left_by_check(location: StoreLocation, match: str) -> list[Finding]:
    """Return what a check that fails tells of the object that it may have left."""
    told: list[Finding] = []
    with pytest.raises(StorageFault, match=match):
        check_store(location, told.append)
    return told


def answer(status: str) -> str:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answers", "match", "is_told"),
    [
        ((None,), "the service fell silent", True),
        (("",), "the transfer broke off", True),
        ((None, answer("403 Forbidden")), "the service refused", True),
        ((answer("504 Gateway Timeout"),), "the service answered 504", True),
        ((answer("403 Forbidden"), answer("403 Forbidden")), "the service refused", False),
        ((answer("400 Bad Request"),), "the service answered 400", False),
        ((), "the service is not reachable", False),
    ],
    ids=["silence", "breaking off", "refusal behind silence", "504", "403", "400", "nobody"],
)
def test_the_brief_check_tells_what_may_be_left_unless_nothing_was_stored(
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[str | None, ...],
    match: str,
    is_told: bool,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    monkeypatch.setattr(service, "READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(check, "CHECK_LIMIT_S", 0.4 if len(answers) > 1 else 0.0)
    monkeypatch.setattr(cleaning, "SILENCE_LIMIT_S", 0.5)
    with Answers(*answers, "") as front:
        port = front.port if answers else 9
        location = StoreLocation.parse("s3://bucket", endpoint_url=f"http://127.0.0.1:{port}")
        told = left_by_check(location, match)
    assert [finding.name for finding in told] == ["clean up"] * is_told
    for finding in told:
        assert finding.text == "1 object of this check may still be there"
        assert "aws s3 rm s3://bucket/cm4storage-probe-" in finding.advice


@pytest.mark.parametrize(("number", "is_told"), [(errno.EIO, True), (errno.EACCES, False)])
def test_the_brief_check_of_a_folder_tells_what_may_be_left_unless_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    def fail(_store: FileStore, key: str, *_: object) -> int:
        error = OSError(number, os.strerror(number))
        raise file_fault(error, "go on", key) from error

    monkeypatch.setattr(FileStore, "write", fail)
    monkeypatch.setattr(FileStore, "delete", fail)
    told = left_by_check(StoreLocation.parse(str(tmp_path)), "cannot go on")
    assert [finding.name for finding in told] == ["clean up"] * is_told


def test_a_folder_that_is_a_file_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFault, match="a part of the path is a file"):
        check_store(StoreLocation.parse(str(tmp_path / "file")))


SERVE = """
import sys
from pathlib import Path
from cm4storage.storage.embedded import serve_foreground
serve_foreground(Path(sys.argv[1]), sys.stdout)
"""


def serving(program: str, server_dir: Path) -> tuple[subprocess.Popen[str], IO[str]]:
    """Start a program that serves; return it and what it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(server_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    return process, process.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_stays_until_a_signal_and_keeps_the_credentials_out_of_a_pipe(
    server_dir: Path, number: signal.Signals
) -> None:
    process, stdout = serving(SERVE, server_dir)
    assert re.match(r"S3 endpoint http://127\.0\.0\.1:\d+, bucket", stdout.readline())
    assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    process.send_signal(number)
    said, _ = process.communicate()
    assert process.returncode == 0
    assert "--show_credentials" in said
    assert "SECRET" not in said
    wait_until(lambda: not processes_of(server_dir), "the kernel reaps both", limit_s=1.0)


def test_serve_shows_the_credentials_on_a_terminal(server_dir: Path) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(server_dir)],
        stdout=terminal,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    os.close(terminal)
    said = b""
    while b"AWS_SECRET_ACCESS_KEY" not in said:
        said += os.read(controller, 4096)
    process.terminate()
    assert process.wait() == 0
    os.close(controller)
    assert b"export AWS_ENDPOINT_URL=http://127.0.0.1:" in said


MISSED = """
import signal, sys, threading
from pathlib import Path
from cm4storage.storage.embedded import serve_foreground

class Console:
    # Behind the first words the signal comes to another thread, and so does not end what the main
    # thread waits in. Not before: the server would inherit that.
    isatty, write = sys.stdout.isatty, sys.stdout.write
    def flush(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        sys.stdout.flush()

threading.Thread(target=threading.Event().wait, daemon=True).start()
serve_foreground(Path(sys.argv[1]), Console())
"""


def test_serve_hears_a_signal_that_does_not_end_its_wait(server_dir: Path) -> None:
    process, stdout = serving(MISSED, server_dir)
    stdout.readline()
    time.sleep(0.3)
    process.terminate()
    try:
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert said.endswith("stopping\n")
    assert process.returncode == 0


def test_what_serve_shows_of_azure_is_what_azures_own_library_takes(server_dir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cm4storage", "serve", "azure", f"--server_dir={server_dir}",
         "--show_credentials"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline()
    assert re.match(r"Azure endpoint http://127\.0\.0\.1:\d+/cm4storage, container", first)
    name, _, text = shlex.split(process.stdout.readline())[1].partition("=")
    assert name == "AZURE_STORAGE_CONNECTION_STRING"
    with BlobServiceClient.from_connection_string(text) as service:
        assert [container.name for container in service.list_containers()] == ["cm4storage"]
    process.terminate()
    process.communicate()
    assert process.returncode == 0


def test_serve_says_when_the_server_dies(server_dir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(server_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    server = next(pid for pid, role in processes_of(server_dir).items() if role == "server")
    os.kill(server, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "the embedded S3 server has stopped" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_can_be_broken_off_while_the_server_starts(
    server_dir: Path, number: signal.Signals
) -> None:
    with locked(server_dir / "start.lock"):
        process = subprocess.Popen(
            [sys.executable, "-m", "cm4storage", "serve", "s3", f"--server_dir={server_dir}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
        )
        waiting = re.compile(rf"->.* {process.pid} ")
        wait_until(lambda: waiting.search(Path("/proc/locks").read_text()), "it waits its turn")
        process.send_signal(number)
        try:
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number, errors
    assert out == ""
