"""The operation log: one row per operation, readable by others, whatever ends the run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from server_processes import SOURCE, wait_until

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects.s3_service import S3Service
from cm4storage.storage.objects.store import Conduct, ObjectStore
from cm4storage.storage.opening import open_store
from cm4storage.storage.oplog import FileLog, Row, read_rows
from cm4storage.storage.oplog.rows import COLUMNS
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.storage.embedded import EmbeddedServer
    from cm4storage.storage.store import Store

SECRET = "planted-secret-77aa"
WARP_COLUMNS = (
    "idx thread op client_id n_objects bytes endpoint file error start first_byte end duration_ns"
)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def logged(location: StoreLocation, path: Path, work: Callable[[Store], object]) -> list[Row]:
    """Do `work` with the store at `location`; return the rows that it leaves."""
    with FileLog(path) as log, open_store(replace(location, log=log)) as store:
        work(store)
    return list(read_rows(path))


def use_everything(store: Store) -> None:
    """Do each operation once, and three that fail."""
    store.write("a/b", [memoryview(b"0123456789"), memoryview(b"abc")])
    with store.read("a/b", start=2, length=5) as view:
        assert view == b"23456"
    assert store.read_into("a/b", memoryview(bytearray(4)), start=1) == 4
    assert store.scatter("a/b", [memoryview(bytearray(4)), memoryview(bytearray(20))]) == 13
    assert store.stat("a/b").size_bytes == 13
    assert len(list(store.list())) == 1
    assert list(store.folders()) == ["a"]
    store.delete("a/b")
    with pytest.raises(MissingObject, match="does not exist"):
        store.stat("a/b")
    with pytest.raises(MissingObject, match="does not exist"), store.read("a/b"):
        pass
    with pytest.raises(LookupError, match="mine"):
        store.write("c", _broken())


def _broken() -> Any:
    yield memoryview(b"x")
    raise LookupError("mine")


EVERYTHING = [
    *(("PUT", 13, ""), ("GET", 5, ""), ("GET", 4, ""), ("GET", 13, ""), ("HEAD", 0, "")),
    *(("LIST", 0, ""), ("LIST", 0, ""), ("DELETE", 0, "")),
    *(("HEAD", 0, "the object does not exist"), ("GET", 0, "the object does not exist")),
    ("PUT", 0, "LookupError"),
]


def test_each_operation_on_a_folder_is_a_row(tmp_path: Path) -> None:
    location = StoreLocation.parse(str(tmp_path / "data"))
    rows = logged(location, tmp_path / "log", use_everything)
    assert [(row.op, row.size_bytes, row.error) for row in rows] == EVERYTHING
    assert rows[0].file == f"file://{tmp_path}/data/a/b"
    assert all(row.first_byte_s is None and row.retries == 0 for row in rows)
    assert all(row.start <= row.end and row.duration_s > 0 for row in rows)


@pytest.fixture
def s3_location(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> StoreLocation:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    name = f"s3://{s3_server.bucket}/oplog-{os.urandom(4).hex()}"
    return StoreLocation.parse(name, endpoint_url=s3_server.endpoint_url)


def test_what_another_store_notes_is_in_no_row(s3_location: StoreLocation, tmp_path: Path) -> None:
    with open_store(s3_location) as other:
        other.write("object", [memoryview(b"x")])
        with other.read("object"):
            pass
    rows = logged(StoreLocation.parse(str(tmp_path / "data")), tmp_path / "log", use_everything)
    assert [row.first_byte_s for row in rows] == [None] * len(rows)


def test_each_operation_on_s3_is_a_row_with_its_first_byte(
    s3_location: StoreLocation, s3_server: EmbeddedServer, tmp_path: Path
) -> None:
    rows = logged(s3_location, tmp_path / "log", use_everything)
    assert [(row.op, row.size_bytes, row.error) for row in rows] == EVERYTHING
    reads = [row for row in rows if row.op == "GET" and not row.error]
    for row in reads:
        assert row.first_byte_s is not None
        assert 0 < row.first_byte_s <= row.duration_s
    text = _plain(tmp_path / "log").decode()
    assert f"\t{s3_server.endpoint_url}\t{s3_location.uri}/a/b\t" in text
    assert s3_server.secret_access_key not in text
    assert s3_server.access_key_id not in text


def _plain(path: Path) -> bytes:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        return stream.read()


def test_others_read_it(tmp_path: Path) -> None:
    import pandas as pd

    logged(StoreLocation.parse(str(tmp_path / "data")), tmp_path / "log.tsv.zst", use_everything)
    table = pd.read_csv(tmp_path / "log.tsv.zst", sep="\t")
    assert list(table.columns) == [*WARP_COLUMNS.split(), "retries", "offset"] == list(COLUMNS)
    assert list(table["idx"]) == list(range(len(EVERYTHING)))
    assert table["bytes"].sum() == sum(size_bytes for _, size_bytes, _ in EVERYTHING)
    took = pd.to_datetime(table["end"]) - pd.to_datetime(table["start"])
    assert list(took.dt.total_seconds() * 1e9) == pytest.approx(list(table["duration_ns"]))
    age = pd.Timestamp.now(tz="UTC") - pd.to_datetime(table["end"]).max()
    assert 0 <= age.total_seconds() < 300
    assert list(table["offset"])[:4] == [0, 2, 1, 0]


OPERATION = st.tuples(
    st.sampled_from(["write", "read", "scatter", "stat", "list", "delete"]),
    st.sampled_from(["a", "b/c", 'q"uote', "d #", "é"]),
    st.integers(0, 5000),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(OPERATION, max_size=30))
def test_rows_and_bytes_are_what_was_moved(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("property")
    moved = 0

    def work(store: Store) -> None:
        nonlocal moved
        for op, key, size_bytes in operations:
            with contextlib.suppress(MissingObject):
                moved += _do(store, op, key, size_bytes)

    rows = logged(StoreLocation.parse(str(folder / "data")), folder / "log", work)
    assert sum(row.size_bytes for row in rows) == moved
    assert len(rows) == len(operations)


def _do(store: Store, op: str, key: str, size_bytes: int) -> int:
    if op == "write":
        return store.write(key, [memoryview(bytes(size_bytes))])
    if op == "read":
        with store.read(key, start=size_bytes // 2, length=size_bytes) as view:
            return view.nbytes
    if op == "scatter":
        return store.scatter(key, [memoryview(bytearray(size_bytes))])
    if op == "list":
        list(store.list())
    else:
        getattr(store, op)(key)
    return 0


def test_threads_have_numbers_and_lose_nothing(tmp_path: Path) -> None:
    location = StoreLocation.parse(str(tmp_path / "data"))

    def read_often(store: Store) -> None:
        for _ in range(5000):
            with store.read("object"):
                pass

    def work(store: Store) -> None:
        store.write("object", [memoryview(b"x")])
        crew = [threading.Thread(target=read_often, args=[store]) for _ in range(4)]
        for each in crew:
            each.start()
        for each in crew:
            each.join()

    rows = logged(location, tmp_path / "log", work)
    assert len(rows) == 20_001
    threads = {line.split("\t")[1] for line in _plain(tmp_path / "log").decode().splitlines()[1:]}
    assert len(threads) > 1
    assert all(int(number) < 5 for number in threads)


def test_retries_are_in_the_row(tmp_path: Path) -> None:
    head = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n"
    busy = head % (b"503 Slow Down", 0) + b"\r\n"
    good = head % (b"200 OK", 4) + (
        b'ETag: "x"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\ndata'
    )
    answers = [busy, busy, good]

    def serve(listener: socket.socket) -> None:
        for answer in answers:
            link, _ = listener.accept()
            with link:
                link.recv(65536)
                link.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        service = S3Service(f"http://127.0.0.1:{listener.getsockname()[1]}", "AK", SECRET)
        with FileLog(tmp_path / "log") as log:
            bare = ObjectStore("bucket", "", service, Conduct())
            with log.logged(bare, service.name).read("key") as view:
                assert view == b"data"
            bare.close()
    (row,) = read_rows(tmp_path / "log")
    assert (row.retries, row.size_bytes, row.error) == (2, 4, "")
    assert SECRET.encode() not in _plain(tmp_path / "log")


ENDLESS = """
import sys
from dataclasses import replace
from pathlib import Path
from cm4storage.core.waiting import STOP, Terminated, pause
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store
from cm4storage.storage.oplog import FileLog
import signal
STOP.listen(signal.SIGTERM, Terminated)
STOP.listen(signal.SIGINT, KeyboardInterrupt)
place = StoreLocation.parse(sys.argv[1])
with FileLog(Path(sys.argv[2])) as log, open_store(replace(place, log=log)) as store:
    store.write("object", [memoryview(b"x" * 100)])
    for number in range(1000000):
        with store.read("object"):
            pass
        if number == 3000:
            print("read", flush=True)
        if number > 3000:
            pause(0.001)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_was_done_before_a_signal_can_be_read(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "data"), str(tmp_path / "log")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"read\n"
    # The rows come into the file while the work goes on.
    wait_until(lambda: len(list(read_rows(tmp_path / "log"))) >= 3002, "the log is written")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    rows = list(read_rows(tmp_path / "log"))
    assert len(rows) >= 3002
    # Only the last read can have been broken off.
    assert all(row.size_bytes == 100 for row in rows if not row.error)
    assert not any(row.error for row in rows[:-1])


def test_a_full_disk_is_said_at_the_end_and_does_not_stop_the_work(tmp_path: Path) -> None:
    location = StoreLocation.parse(str(tmp_path / "data"))
    done = []
    with pytest.raises(StorageFault, match="cannot write the operation log: No space left"):
        logged(location, Path("/dev/full"), lambda store: done.append(store.write("a", [])))
    assert done == [0]


def test_the_error_of_the_work_prevails_over_that_of_the_log(tmp_path: Path) -> None:
    location = StoreLocation.parse(str(tmp_path / "data"))
    with pytest.raises(MissingObject, match="does not exist"):
        logged(location, Path("/dev/full"), lambda store: store.stat("a"))


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot make the operation log"):
        FileLog(tmp_path / "no" / "log")


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_what_is_no_log_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "log"
    for content in (data, zstandard.compress(data)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no operation log"):
            list(read_rows(path))


@given(st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_log_that_is_cut_off_anywhere_is_read_up_to_there(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    location = StoreLocation.parse(str(folder / "data"))
    whole = logged(location, folder / "log", use_everything)
    content = (folder / "log").read_bytes()
    (folder / "log").write_bytes(content[: round(share * len(content))])
    try:
        rows = list(read_rows(folder / "log"))
    except UserError:
        return  # not even the names of the columns are there
    assert rows == whole[: len(rows)]


def test_the_logs_of_others_are_read(tmp_path: Path) -> None:
    day = "2026-01-02T03:04"
    lines = [
        WARP_COLUMNS.replace(" ", "\t") + "\tcat",
        f"0\t3\tGET\tc\t1\t1000\th\tname\t\t{day}:05.25Z\t{day}:05.5+00:00\t{day}:06Z\t750000000\t0",
        "1\t3\tPUT\tc\t1\t10\thttp://h\tname\trefused\t1000000000\t\t1001000000\t1000000\t0",
        "# made by another",
    ]
    (tmp_path / "log").write_bytes(zstandard.compress("\n".join([*lines, ""]).encode()))
    first, second = read_rows(tmp_path / "log")
    assert (first.size_bytes, first.duration_s, first.first_byte_s) == (1000, 0.75, 0.25)
    assert (second.op, second.error, second.retries) == ("PUT", "refused", 0)


def oplog(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cm4storage", "oplog", *arguments]
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_verb_shows_rows_and_their_summary(tmp_path: Path) -> None:
    path = tmp_path / "log"
    rows = logged(StoreLocation.parse(str(tmp_path / "data")), path, use_everything)
    shown = oplog(str(path), "--rows").stdout
    assert shown.encode() == _plain(path)
    summary = json.loads(oplog(str(path), "--json", f"--result_file={tmp_path / 'r'}").stdout)
    assert summary == json.loads((tmp_path / "r").read_text())
    assert {op: kind["count"] for op, kind in summary.items()} == {
        "DELETE": 1, "GET": 4, "HEAD": 2, "LIST": 2, "PUT": 2,
    }  # fmt: skip
    assert summary["GET"]["bytes"] == 22
    assert summary["GET"]["errors"] == 1
    times = sorted(row.duration_s for row in rows if row.op == "GET" and not row.error)
    assert [summary["GET"][name] for name in ("p50_s", "p99_s")] == [times[1], times[2]]
    head, *table = oplog(str(path)).stdout.splitlines()
    assert head.split() == [
        *("op", "count", "bytes", "p50", "p99", "max", "first", "byte", "p50", "errors", "retries")
    ]
    assert len(table) == 5
    (tmp_path / "empty").write_bytes(b"")
    assert oplog(str(tmp_path / "empty")).returncode == 1
    assert oplog(str(tmp_path / "nowhere")).returncode == 3


def test_a_write_that_takes_only_a_part_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TakesAPart(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[: max(1, len(data) // 3)])

    def create(path: Path) -> io.FileIO:
        return TakesAPart(path, "w")

    monkeypatch.setattr("cm4storage.storage.oplog.log._create", create)
    rows = logged(StoreLocation.parse(str(tmp_path / "d")), tmp_path / "log", use_everything)
    assert len(rows) > 5
    assert rows[0].op == "PUT"
