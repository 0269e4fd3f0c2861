"""The supervisor: one server for all users, and none when they have gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from server_processes import SOURCE, pid_of, processes_of, wait_until

from cm4storage.core.errors import StorageFault
from cm4storage.core.lifeline import Lifeline
from cm4storage.storage import embedded
from cm4storage.storage.location import EMBEDDED_BUCKET, StoreLocation
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_processes import User


SCHEMES = {"s3": "s3", "azure": "az"}
each_kind = pytest.mark.parametrize("kind", SCHEMES, indirect=True)
# What the supervisor does is the same for all kinds; Azurite takes seconds to start and to end.
azure_in_soak = pytest.mark.parametrize(
    "kind", ["s3", pytest.param("azure", marks=pytest.mark.soak)], indirect=True
)


def location(server_dir: Path, kind: str = "s3") -> StoreLocation:
    uri = f"{SCHEMES[kind]}://{EMBEDDED_BUCKET}/test"
    return StoreLocation.parse(uri, server_dir=server_dir)


@azure_in_soak
def test_ten_users_at_once_share_one_server(
    server_dir: Path, new_user: Callable[..., User]
) -> None:
    users = [new_user() for _ in range(10)]
    assert len({user.answer() for user in users}) == 1
    assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    for user in users[1:]:
        user.leave()
    assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    users[0].leave()
    wait_until(lambda: not processes_of(server_dir), "the last user ends the server")


def test_when_the_last_user_has_closed_nothing_runs(server_dir: Path) -> None:
    with embedded.connect(server_dir):
        assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    wait_until(lambda: not processes_of(server_dir), "the kernel reaps both", limit_s=1.0)


@azure_in_soak
def test_a_killed_user_counts_no_longer(server_dir: Path, new_user: Callable[..., User]) -> None:
    user = new_user()
    user.answer()
    user.kill()
    wait_until(lambda: not processes_of(server_dir), "the server ends")


@azure_in_soak
def test_a_user_killed_while_the_server_starts(
    server_dir: Path, new_user: Callable[..., User], kind: str
) -> None:
    user = new_user()
    wait_until(lambda: "supervisor" in processes_of(server_dir).values(), "it starts")
    user.kill()
    wait_until(lambda: not processes_of(server_dir), "the server ends")
    with open_store(location(server_dir, kind)) as store:
        store.write("key", [memoryview(b"works")])


@each_kind
def test_data_outlive_the_server_and_each_start_has_new_credentials(
    server_dir: Path, kind: str
) -> None:
    keys = set()
    for turn in range(3):
        with embedded.connect(server_dir, kind) as server:
            keys.add(server.secret_access_key)
            with open_store(location(server_dir, kind)) as store:
                store.write(f"key-{turn}", [memoryview(bytes([turn]) * 100_000)])
                assert [item.key for item in store.list()] == [f"key-{n}" for n in range(turn + 1)]
                for number in range(turn + 1):
                    with store.read(f"key-{number}") as view:
                        assert view == bytes([number]) * 100_000
    assert len(keys) == 3


@each_kind
def test_the_server_dies_with_a_killed_supervisor_and_starts_again(
    server_dir: Path, kind: str
) -> None:
    with embedded.connect(server_dir, kind) as server:
        with open_store(location(server_dir, kind)) as store:
            store.write("key", [memoryview(b"kept")])
        os.kill(pid_of(server_dir, "supervisor"), signal.SIGKILL)
        with embedded.connect(server_dir, kind) as again:
            assert again.secret_access_key != server.secret_access_key
            assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
            with open_store(location(server_dir, kind)) as store, store.read("key") as view:
                assert view == b"kept"


@azure_in_soak
def test_a_killed_server_ends_the_supervisor_and_starts_again(server_dir: Path, kind: str) -> None:
    with embedded.connect(server_dir, kind):
        supervisor = pid_of(server_dir, "supervisor")
        os.kill(pid_of(server_dir, "server"), signal.SIGKILL)
        wait_until(lambda: supervisor not in processes_of(server_dir), "the supervisor ends")
    with open_store(location(server_dir, kind)) as store:
        store.write("key", [memoryview(b"works")])


def test_users_that_come_while_the_server_stops_get_a_new_one(
    new_user: Callable[..., User],
) -> None:
    seen = set()
    for _ in range(4):
        user = new_user()
        seen.add(user.answer())
        user.kill()
    assert len(seen) >= 2, "the server was to be caught while it stopped"


def test_a_terminal_interrupt_does_not_reach_the_server(
    new_user: Callable[..., User],
) -> None:
    first = new_user(start_new_session=True)
    first.answer()
    second = new_user()
    answer = second.answer()
    os.killpg(first.process.pid, signal.SIGINT)
    first.process.communicate()
    third = new_user()
    assert third.answer() == answer


@azure_in_soak
def test_the_lifeline_of_a_run_keeps_the_server_for_the_whole_run(
    server_dir: Path, new_user: Callable[..., User]
) -> None:
    lifeline = Lifeline()
    options = {
        "env": os.environ | lifeline.environment() | {"PYTHONPATH": str(SOURCE)},
        "pass_fds": [lifeline.child_descriptor],
    }
    answers = set()
    for _ in range(3):
        step = new_user("share", **options)
        answers.add(step.answer())
        step.leave()
    assert len(answers) == 1
    assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    assert lifeline.release(timeout_s=30.0)
    wait_until(lambda: not processes_of(server_dir), "the kernel reaps both", limit_s=1.0)


def test_the_end_of_a_run_leaves_the_server_to_other_users(
    server_dir: Path, new_user: Callable[..., User]
) -> None:
    other = new_user()
    answer = other.answer()
    lifeline = Lifeline()
    environment = os.environ | lifeline.environment() | {"PYTHONPATH": str(SOURCE)}
    step = new_user("share", env=environment, pass_fds=[lifeline.child_descriptor])
    assert step.answer() == answer
    step.leave()
    assert lifeline.release(timeout_s=30.0)
    assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    other.leave()


def test_the_end_of_a_run_comes_after_that_of_a_server_that_only_it_used(
    server_dir: Path, new_user: Callable[..., User]
) -> None:
    lifeline = Lifeline()
    user = new_user(
        "share",
        env=os.environ | {"PYTHONPATH": str(SOURCE)} | lifeline.environment(),
        pass_fds=[lifeline.child_descriptor],
    )
    user.answer()
    supervisor = pid_of(server_dir, "supervisor")
    os.kill(supervisor, signal.SIGSTOP)  # it hears of both ends at once
    threading.Timer(0.2, lambda: (user.kill(), os.kill(supervisor, signal.SIGCONT))).start()
    assert lifeline.release()
    assert not processes_of(server_dir)


def test_the_server_ends_when_the_top_of_a_run_is_killed(server_dir: Path) -> None:
    program = """
import os, subprocess, sys
from cm4storage.core.lifeline import Lifeline
lifeline = Lifeline()
subprocess.run(
    [sys.executable, "-c", "from pathlib import Path; from cm4storage.storage import embedded; "
     "import sys; embedded.connect(Path(sys.argv[1]), share_lifeline=True).close()", sys.argv[1]],
    env=os.environ | lifeline.environment(), pass_fds=[lifeline.child_descriptor], check=True)
print("ready", flush=True)
sys.stdin.read()
"""
    top = subprocess.Popen(
        [sys.executable, "-c", program, str(server_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert top.stdout is not None
    assert top.stdout.readline() == b"ready\n"
    assert sorted(processes_of(server_dir).values()) == ["server", "supervisor"]
    top.kill()
    top.communicate()
    wait_until(lambda: not processes_of(server_dir), "the server ends")


@each_kind
def test_all_listeners_are_on_loopback(server_dir: Path, kind: str) -> None:
    with embedded.connect(server_dir, kind):
        addresses = listening_addresses(pid_of(server_dir, "server"))
    assert len(addresses) >= {"s3": 5, "azure": 1}[kind]
    assert all(address.startswith("127.") for address in addresses), addresses


def listening_addresses(pid: int) -> list[str]:
    """Return the addresses of a process's listening TCP sockets, from /proc."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in between
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(address_of(fields[1].split(":")[0], family))
    return found


def address_of(text: str, family: socket.AddressFamily) -> str:
    words = [bytes.fromhex(text[n : n + 8])[::-1] for n in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))


@each_kind
def test_credentials_are_in_no_file_and_no_command_line(server_dir: Path, kind: str) -> None:
    with embedded.connect(server_dir, kind) as server:
        with open_store(location(server_dir, kind)) as store:
            store.write("key", [memoryview(b"x")])
        secrets = [server.secret_access_key.encode()]
        if kind == "s3":  # the account of Azure is a part of the endpoint
            secrets.append(server.access_key_id.encode())
        assert server.secret_access_key not in repr(server)
        for pid in processes_of(server_dir):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert not any(secret in arguments for secret in secrets)
        assert files_with(server_dir, secrets) == []
    assert files_with(server_dir, secrets) == []
    log = (server_dir / "log" / "server.log").read_text()
    assert {"s3": "accessKey=***", "azure": "successfully listens"}[kind] in log


def files_with(folder: Path, secrets: list[bytes]) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets):
            found.append(str(path))
    return found


@azure_in_soak
def test_the_data_folder_is_closed_to_others(server_dir: Path, kind: str) -> None:
    server_dir.mkdir(mode=0o755)
    with embedded.connect(server_dir, kind):
        assert server_dir.stat().st_mode & 0o077 == 0
        assert (server_dir / "supervisor.sock").stat().st_mode & 0o077 == 0


@azure_in_soak
def test_a_folder_with_a_long_name_works(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / ("long name " * 20) / ("x" * 100)
    with embedded.connect(folder, kind) as server:
        assert server.bucket == EMBEDDED_BUCKET
    wait_until(lambda: not processes_of(folder), "the server ends")


def test_no_socket_file_stays_in_the_temporary_folder(server_dir: Path) -> None:
    with embedded.connect(server_dir):
        wait_until(lambda: len(socket_files(server_dir)) == 5, "all parts of the server start")
    assert socket_files(server_dir) == []


def test_a_server_that_is_stopped_at_once_keeps_what_it_took(server_dir: Path) -> None:
    """It is used before all of its parts have started."""
    for turn in range(3):
        with open_store(location(server_dir)) as store:
            store.write(f"key-{turn}", [memoryview(bytes([turn]) * 100_000)])
        assert socket_files(server_dir) == []
        # Then the volumes would not be found for a while, and requests would wait.
        assert "Not current leader" not in (server_dir / "log" / "server.log").read_text()
    with open_store(location(server_dir)) as store:
        for turn in range(3):
            with store.read(f"key-{turn}") as view:
                assert view == bytes([turn]) * 100_000


def test_socket_files_of_a_killed_server_are_removed_at_the_next_start(server_dir: Path) -> None:
    with embedded.connect(server_dir):
        wait_until(lambda: len(socket_files(server_dir)) == 5, "all parts of the server start")
        os.kill(pid_of(server_dir, "supervisor"), signal.SIGKILL)
        wait_until(lambda: not processes_of(server_dir), "the server dies with its supervisor")
        assert len(socket_files(server_dir)) == 5
    with embedded.connect(server_dir):
        pass
    assert socket_files(server_dir) == []


def socket_files(server_dir: Path) -> list[str]:
    """Return what the server of a folder has in the temporary folder."""
    ports = json.loads((server_dir / "ports.json").read_text()).values()
    names = [path.name for path in Path("/tmp").glob("seaweedfs-*-grpc-*.sock")]
    return [name for name in names if any(f"-{port + 10_000}.sock" in name for port in ports)]


@azure_in_soak
def test_servers_of_two_folders_run_side_by_side(tmp_path: Path, kind: str) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    with embedded.connect(folders[0], kind) as one, embedded.connect(folders[1], kind) as two:
        assert one.endpoint_url != two.endpoint_url
        assert one.secret_access_key != two.secret_access_key
    for folder in folders:
        wait_until(lambda folder=folder: not processes_of(folder), "the server ends")


@azure_in_soak
def test_another_bucket_is_made_on_demand(server_dir: Path, kind: str) -> None:
    mine = StoreLocation.parse(
        f"{SCHEMES[kind]}://my-own-bucket/deep/prefix", server_dir=server_dir
    )
    for _ in range(2):
        with open_store(mine) as store:
            store.write("key", [memoryview(b"x")])
            assert [item.key for item in store.list()] == ["key"]


def test_an_unknown_kind_is_an_error(server_dir: Path) -> None:
    with pytest.raises(StorageFault, match="unknown kind of embedded server: ftp"):
        embedded.connect(server_dir, "ftp")


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFault, match="cannot prepare the embedded server's folder"):
        embedded.connect(tmp_path / "file")


def test_a_server_that_cannot_use_its_data_says_so(server_dir: Path) -> None:
    (server_dir / "data").mkdir(parents=True)
    (server_dir / "data" / "m").mkdir()
    (server_dir / "data" / "m" / "filerldb2").write_text("not a folder")
    with pytest.raises(StorageFault, match=r"(?s)embedded S3 server died.*filerldb2"):
        embedded.connect(server_dir)


def test_a_missing_server_package_is_named(server_dir: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    program = (
        "from pathlib import Path; from cm4storage.storage import embedded; import sys; "
        "embedded.connect(Path(sys.argv[1]))"
    )
    result = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "python"), "-c", program, str(server_dir)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "UserError: the embedded S3 server is not installed" in result.stderr
    assert "pip install 'cm4storage[s3]'" in result.stderr
