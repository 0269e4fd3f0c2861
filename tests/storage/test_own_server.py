"""What a run is told when its own server is full, or has died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from server_processes import SOURCE, pid_of, processes_of, wait_until

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage import embedded
from cm4storage.storage.location import EMBEDDED_BUCKET, StoreLocation
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path


each_scheme = pytest.mark.parametrize("scheme", ["s3", "az"])


def location(server_dir: Path, scheme: str = "s3") -> StoreLocation:
    return StoreLocation.parse(f"{scheme}://{EMBEDDED_BUCKET}/test", server_dir=server_dir)


def test_the_free_space_is_that_of_its_folder(server_dir: Path) -> None:
    with open_store(location(server_dir)) as store:
        free_bytes = store.free_bytes()
    assert free_bytes is not None
    status = os.statvfs(server_dir)
    assert abs(free_bytes - status.f_bavail * status.f_frsize) < 2**30
    with open_store(StoreLocation.parse("s3://bucket")) as other:
        assert other.free_bytes() is None


def on_small_disk(tmp_path: Path, program: str) -> str:
    """Run `program` with a folder on a tmpfs of 8 MiB, and return what it prints."""
    mount = 'mount -t tmpfs -o size=8m none "$1" && exec "$2" -c "$3" "$1/server"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, program]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    if result.returncode != 0 and "unshare" in result.stderr:
        pytest.skip(f"no namespaces here: {result.stderr}")
    assert result.returncode == 0, result
    return result.stdout


@each_scheme
def test_a_full_disk_is_named(tmp_path: Path, scheme: str) -> None:
    said = on_small_disk(
        tmp_path,
        f"""
import os, sys
from pathlib import Path
from cm4storage.core.errors import StorageFault
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store
location = StoreLocation.parse("{scheme}://cm4storage/test", server_dir=Path(sys.argv[1]))
try:
    with open_store(location, retry_limit_s=2.0) as store:
        for number in range(20):
            store.write(f"key-{{number}}", [os.urandom(2**20)])
except StorageFault as fault:
    print(fault)
    log = (Path(sys.argv[1]) / "log" / "server.log").read_text()
    print("its line is there:", fault.meaning.partition("its log says: ")[2][:200] in log)
""",
    )
    assert "it is the embedded server of this run" in said
    assert "are free in its folder" in said
    assert "choose another folder with --data_dir" in said
    assert "its line is there: True" in said
    assert "firewall" not in said


def test_a_data_set_that_does_not_fit_is_refused_beforehand(tmp_path: Path) -> None:
    said = on_small_disk(
        tmp_path,
        """
import sys
from pathlib import Path
from cm4storage.core.errors import StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve
params = (
    "dataset.num_files_train=10 dataset.record_length_bytes=2000000 "
    "dataset.record_length_bytes_stdev=0 reader.batch_size=2"
)
workload = resolve(Request(model="unet3d", accelerator="h100", params=params)).workload
location = StoreLocation.parse("s3://cm4storage/test", server_dir=Path(sys.argv[1]))
try:
    prepare(workload, location, NoProgress(), lambda _line: None)
except StorageFault as fault:
    print(fault)
""",
    )
    assert "not enough space" in said
    assert "are free" in said


@each_scheme
@pytest.mark.parametrize("role", ["server", "supervisor"])
def test_a_server_that_died_is_named(server_dir: Path, role: str, scheme: str) -> None:
    with open_store(location(server_dir, scheme), retry_limit_s=1.0) as store:
        store.write("key", [memoryview(b"x")])
        os.kill(pid_of(server_dir, role), signal.SIGKILL)
        wait_until(lambda: not processes_of(server_dir), "both end")
        ended = pytest.raises(StorageFault, match=r"(?s)read the object: the embedded.*has ended")
        with ended as caught, store.read("key"):
            pass
    assert str(server_dir) in caught.value.where
    assert "run the command again" in caught.value.advice
    if (scheme, role) == ("az", "server"):
        return  # it writes its index every five seconds, and had no time for a last one
    with open_store(location(server_dir, scheme)) as store, store.read("key") as view:
        assert view == b"x"


def test_the_next_server_on_the_same_port_is_not_taken_for_ours(server_dir: Path) -> None:
    with open_store(location(server_dir), retry_limit_s=2.0) as store:
        store.write("key", [memoryview(b"x")])
        os.kill(pid_of(server_dir, "supervisor"), signal.SIGKILL)
        wait_until(lambda: not processes_of(server_dir), "the server dies with its supervisor")
        with embedded.connect(server_dir) as other:
            with pytest.raises(StorageFault, match=r"of this run has ended") as caught:
                store.stat("key")
            assert other.endpoint_url in caught.value.where
            assert "AWS_ACCESS_KEY_ID" not in str(caught.value)


def test_a_missing_object_is_still_only_that(server_dir: Path) -> None:
    with open_store(location(server_dir)) as store:
        with pytest.raises(StorageFault, match="the object does not exist") as caught:
            store.stat("nothing")
        assert "embedded" not in str(caught.value)


@pytest.mark.parametrize("folder", ["relative/folder", "file:///somewhere", "/tmp/s3://bucket"])
def test_a_folder_that_is_no_absolute_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"must be absolute|is a path, not a URI"):
        embedded.connect(type(tmp_path)(folder))
    assert list(tmp_path.iterdir()) == []
