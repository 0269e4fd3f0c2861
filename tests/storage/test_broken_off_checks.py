"""A check that is broken off leaves nothing behind, however late its objects reach the storage."""

from __future__ import annotations

import argparse
import contextlib
import copy
import re
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.cli import check
from cm4storage.core.waiting import STOP
from cm4storage.report.console import Console
from cm4storage.storage.check import check_store
from cm4storage.storage.diagnosis import cleaning, measuring, object_probes, runner
from cm4storage.storage.diagnosis.bench import Access, Bench
from cm4storage.storage.diagnosis.ledger import GivenUp, Ledger
from cm4storage.storage.diagnosis.runner import diagnose
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects.obstore_client import ObstoreClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cm4storage.storage.diagnosis.findings import Finding
    from cm4storage.storage.embedded import EmbeddedServer

    Deed = Callable[[], None]

WRITE, DELETE = FileStore.write, FileStore.delete
PATIENCE_S = 10.0


def interrupt() -> None:
    """Press Ctrl-C: the main thread hears it, whoever calls."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def before_writing(monkeypatch: pytest.MonkeyPatch, name: str, deed: Deed) -> None:
    """Let something happen when all of an object is on its way, before it reaches the folder."""

    def write(store: FileStore, key: str, chunks: Iterable[memoryview]) -> int:
        if not key.endswith(f"/{name}"):
            return WRITE(store, key, chunks)
        content = b"".join(chunks)
        deed()
        return WRITE(store, key, [memoryview(content)])

    monkeypatch.setattr(FileStore, "write", write)


def around_deleting(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    before: Deed = lambda: None,
    after: Deed = lambda: None,
) -> None:
    """Let something happen before and after an object is removed; an empty name is any object."""

    def delete(store: FileStore, key: str) -> None:
        is_meant = key.endswith(f"/{name}") if name else True
        if is_meant:
            before()
        DELETE(store, key)
        if is_meant:
            after()

    monkeypatch.setattr(FileStore, "delete", delete)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Note SIGUSR1 as a request to stop, as the command line notes SIGTERM, and forget it."""
    before = signal.getsignal(signal.SIGUSR1)
    STOP.listen(signal.SIGUSR1, KeyboardInterrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
        STOP.__init__()  # type: ignore[misc]


def note_request() -> None:
    """Ask to stop so that nobody hears it: it is raised in another thread, or swallowed there."""
    with contextlib.suppress(KeyboardInterrupt):
        STOP._handle(signal.SIGUSR1, None)


def break_off(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        diagnose(StoreLocation.parse(str(folder)), lambda _: None)


def files_in(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file()]


def end_of_threads(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_a_probe_whose_thread_starts_behind_the_signal_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, removed = threading.Thread.start, threading.Event()

    def start_late(thread: threading.Thread) -> None:
        if thread.name != "probe: write speed":
            return start(thread)
        run = thread.run
        monkeypatch.setattr(thread, "run", lambda: removed.wait(PATIENCE_S) and run())
        start(thread)
        return signal.raise_signal(signal.SIGINT)  # Python waits for the thread in there

    monkeypatch.setattr(threading.Thread, "start", start_late)
    around_deleting(monkeypatch, "", after=removed.set)
    break_off(tmp_path)
    end_of_threads("probe: write speed")
    assert files_in(tmp_path) == []


def test_an_object_that_arrives_behind_the_signal_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_are_gone = threading.Event()

    def arrive_late() -> None:
        interrupt()
        assert others_are_gone.wait(PATIENCE_S)
        time.sleep(0.2)

    before_writing(monkeypatch, "large", arrive_late)
    around_deleting(monkeypatch, "small", after=others_are_gone.set)
    break_off(tmp_path)
    end_of_threads("probe: write speed")
    assert files_in(tmp_path) == []


def test_an_object_is_not_overwritten_any_more_behind_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(range(100))

    def write_slowly() -> None:
        if next(versions) == 2:
            interrupt()
        time.sleep(0.5)

    before_writing(monkeypatch, "overwritten", write_slowly)
    break_off(tmp_path)
    end_of_threads("overwrite")
    assert files_in(tmp_path) == []
    assert next(versions) < 6


def test_an_object_of_an_overdue_probe_is_waited_for_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_are_gone = threading.Event()

    def arrive_late() -> None:
        assert others_are_gone.wait(PATIENCE_S)
        time.sleep(0.2)

    hasty = [
        replace(probe, limit_s=0.1) if probe.name == "write speed" else probe
        for probe in measuring.PROBES
    ]
    monkeypatch.setattr(measuring, "PROBES", hasty)
    monkeypatch.setattr(runner, "_DROP_LIMIT_S", 0.1)
    before_writing(monkeypatch, "large", arrive_late)
    around_deleting(monkeypatch, "small", after=others_are_gone.set)
    diagnosis = diagnose(StoreLocation.parse(str(tmp_path)), lambda _: None)
    end_of_threads("probe: write speed")
    assert {"write speed", "clean up"} <= {each.name for each in diagnosis.findings}
    assert diagnosis.findings[-1].text == "nothing is left behind"
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("end", ["silence", "a second signal"])
def test_what_may_be_left_is_told_with_the_command_that_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    released = threading.Event()

    def hang() -> None:
        if end == "a second signal":
            interrupt()
        released.wait(PATIENCE_S)

    monkeypatch.setattr(cleaning, "SILENCE_LIMIT_S", 0.3 if end == "silence" else 600.0)
    before_writing(monkeypatch, "large", interrupt)
    around_deleting(monkeypatch, "small", before=hang)
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    args = parser.parse_args([f"--data_dir={tmp_path}", "--json"])
    with pytest.raises(KeyboardInterrupt):
        check.execute(args, Console())
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(r"clean up +failed .*2 objects of this check may still be there", said.err)
    assert len(files_in(tmp_path)) == 2
    command = re.search("to do: remove what is there: (.*)", said.err)
    assert command is not None
    subprocess.run(["sh", "-c", command[1]], check=True)
    assert list(tmp_path.iterdir()) == []
    released.set()
    end_of_threads("clean up")


def test_the_brief_check_waits_for_its_object_before_it_removes_it(
    s3_server: EmbeddedServer, boto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    put, has_arrived = ObstoreClient.put, threading.Event()

    def put_late(client: ObstoreClient, key: str, body: bytearray, digest: str) -> None:
        under_way = copy.copy(client)  # what has been sent arrives, also if the client is closed
        interrupt()
        time.sleep(1.0)
        put(under_way, key, body, digest)
        has_arrived.set()

    monkeypatch.setattr(ObstoreClient, "put", put_late)
    uri = f"s3://{s3_server.bucket}/broken-off/brief"
    with pytest.raises(KeyboardInterrupt):
        check_store(StoreLocation.parse(uri, endpoint_url=s3_server.endpoint_url))
    assert has_arrived.wait(PATIENCE_S)
    listed = boto.list_objects_v2(Bucket=s3_server.bucket, Prefix="broken-off/brief")
    assert listed["KeyCount"] == 0


def test_a_request_to_stop_that_was_swallowed_ends_a_check_of_quick_probes(tmp_path: Path) -> None:
    told: list[str] = []

    def tell(finding: Finding) -> None:
        told.append(finding.name)
        note_request()

    with listening(), pytest.raises(KeyboardInterrupt):
        diagnose(StoreLocation.parse(str(tmp_path)), tell)
    assert len(told) == 1
    assert files_in(tmp_path) == []


def test_a_request_to_stop_is_heard_while_an_overdue_probe_drops_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, told = threading.Event(), []

    def write(store: FileStore, key: str, chunks: Iterable[memoryview]) -> int:
        if not key.endswith("/large"):
            return WRITE(store, key, chunks)
        with contextlib.suppress(GivenUp):
            for _ in chunks:
                time.sleep(0.1)
        note_request()
        assert released.wait(2 * PATIENCE_S)
        raise GivenUp

    hasty = [  # but not so hasty that a busy machine has not begun to write by then
        replace(probe, limit_s=2.0) if probe.name == "write speed" else probe
        for probe in measuring.PROBES
    ]
    monkeypatch.setattr(measuring, "PROBES", hasty)
    monkeypatch.setattr(runner, "_DROP_LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(cleaning, "SILENCE_LIMIT_S", 0.1)
    monkeypatch.setattr(FileStore, "write", write)
    location = StoreLocation.parse(str(tmp_path))
    with listening(), pytest.raises(KeyboardInterrupt):
        diagnose(location, lambda finding: told.append(finding.name), tell_left=lambda _: None)
    released.set()
    end_of_threads("probe: write speed")
    end_of_threads("clean up")
    assert told
    assert "write speed" not in told
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("is_brief", [False, True])
def test_a_defect_of_the_cleaning_is_told_and_the_signal_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_brief: bool
) -> None:
    def fail() -> None:
        raise TypeError("ours")

    told: list[Finding] = []
    around_deleting(monkeypatch, "", before=fail)
    location = StoreLocation.parse(str(tmp_path))
    if is_brief:
        monkeypatch.setattr(FileStore, "read", lambda *_, **__: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            check_store(location, told.append)
    else:
        before_writing(monkeypatch, "large", interrupt)
        with pytest.raises(KeyboardInterrupt):
            diagnose(location, lambda _: None, tell_left=told.append)
    assert [finding.status for finding in told] == ["failed", "failed"]
    assert told[0].text == "it ended in TypeError: ours"
    assert "test_broken_off_checks.py, line" in told[0].where
    assert "remove what is there: rm" in told[1].advice


def test_the_upload_that_is_to_break_off_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    parts = []

    class Client:
        def put_parts(self, key: str, source: Iterator[bytearray], part_bytes: int) -> None:
            del key, part_bytes
            parts.append(next(source))
            bench.stopping.set()
            parts.append(next(source))

    bench = Bench(StoreLocation.parse(str(tmp_path)))
    bench.access = Access(FileStore(tmp_path), client=Client())  # type: ignore[arg-type]
    (probe,) = (each for each in object_probes.PROBES if each.name == "abort")
    with pytest.raises(GivenUp, match=r"^$"):
        probe.ask(bench)
    assert len(parts) == 1


@pytest.mark.parametrize(
    ("text", "options", "key", "command"),
    [
        ("s3://bucket", {}, "probe/x", "aws s3 rm --recursive s3://bucket/probe"),
        ("s3://bucket", {}, "probe", "aws s3 rm s3://bucket/probe"),
        ("s3://bucket/a b", {"endpoint_url": "http://host:1"}, "probe/x",
         "aws s3 rm --recursive 's3://bucket/a b/probe' --endpoint-url=http://host:1"),
        ("s3://bucket", {"server_dir": Path("/server")}, "probe/x",
         ("aws s3 rm --recursive s3://bucket/probe"
         " (with the variables that `cm4storage serve s3 --server_dir=/server` shows)")),
        ("az://box/a", {}, "probe/x",
         "az storage blob delete-batch --source=box --pattern='a/probe/*'"),
        ("az://box", {"endpoint_url": "http://host:1/me"}, "probe",
         ("az storage blob delete --container-name=box --name=probe"
         " --blob-endpoint=http://host:1/me")),
        ("/folder", {}, "probe", "rm /folder/probe"),
    ],
)  # fmt: skip
def test_the_command_fits_the_location(
    text: str, options: dict[str, Any], key: str, command: str
) -> None:
    ledger = Ledger()
    with ledger.writing((key,), lambda: False):
        pass
    finding = cleaning.finding_of(ledger, StoreLocation.parse(text, **options), "probe")
    assert finding.advice == f"remove what is there: {command}"
