"""Processes that are killed while they save, and storage that fails under them."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import saving
from servers import server_in

from cm4storage.checkpoint.catalogue import Checkpoints
from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.core.errors import StorageFault
from cm4storage.storage import embedded
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

SAVING = [sys.executable, str(Path(saving.__file__))]
LIMIT_S = 60.0


def kill_while_it_saves(words: list[str], delay_s: float) -> int:
    """Start a saving process, kill it after its first line and a delay; return the first step."""
    process = subprocess.Popen([*SAVING, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = int(process.stdout.readline())
    time.sleep(delay_s)
    process.kill()
    process.communicate(timeout=LIMIT_S)
    return first


def check_what_is_left(location: StoreLocation) -> int:
    """Restore as a user does after a crash; return the step that came back, 0 for none."""
    with open_store(location) as store:
        checkpoints = Checkpoints(store, saving.RUN_ID)
        found = checkpoints.newest()
        if found.manifest is None:
            return 0
        step = found.manifest.step
        right = GeneratedPayload(saving.TENSORS, step=step)
        state = checkpoints.state(found.manifest)  # compares every byte with its digests
        for number, tensor in enumerate(saving.TENSORS):
            data = bytearray(tensor.size_bytes)
            right.fill(number, 0, memoryview(data))
            assert state[tensor.name].tobytes() == data, f"step {step}, tensor {tensor.name}"
        assert all(step < passed for passed, _ in found.passed_over)
    return step


def kill_again_and_again(
    location: StoreLocation, words: list[str], delays_s: Iterable[float]
) -> None:
    restored = 0
    for delay_s in itertools.chain(delays_s, patient_delays()):
        if restored and delay_s > 1:
            break
        first = kill_while_it_saves(words, delay_s)
        assert first > restored, "a checkpoint that was there is lost"
        now = check_what_is_left(location)
        assert now >= restored
        restored = now
    assert restored > 0


def patient_delays() -> Iterable[float]:
    """Yield what is tried where the machine was too busy for a single checkpoint."""
    return (2.0**n for n in range(1, 6))


def delays(count: int) -> list[float]:
    moments = random.Random(6)
    return [moments.uniform(0, 0.25) for _ in range(count)]


@pytest.mark.parametrize(
    "kills", [8, pytest.param(200, marks=(pytest.mark.soak, pytest.mark.timeout(900)))]
)
@pytest.mark.parametrize("scheme", ["file", "directio"])
def test_a_killed_process_leaves_whole_checkpoints_in_a_folder(
    tmp_path: Path, request: pytest.FixtureRequest, kills: int, scheme: str
) -> None:
    if scheme == "directio":
        request.getfixturevalue("needs_direct_io")
    uri = f"{scheme}://{tmp_path}/ck"
    kill_again_and_again(StoreLocation.parse(uri), [uri], delays(kills))
    left = (tmp_path / "ck" / saving.RUN_ID).glob("step_*")
    assert len(list(left)) <= 8  # of killed writers temporary files remain, for an hour


@pytest.mark.parametrize(
    "kills", [6, pytest.param(200, marks=(pytest.mark.soak, pytest.mark.timeout(1200)))]
)
@pytest.mark.parametrize("kind", ["s3", pytest.param("azure", marks=pytest.mark.soak)])
def test_a_killed_process_leaves_whole_checkpoints_on_a_service(
    tmp_path: Path, kind: str, kills: int
) -> None:
    server_dir = tmp_path / "server"
    uri = f"{'az' if kind == 'azure' else 's3'}://cm4storage/ck"
    location = StoreLocation.parse(uri, server_dir=server_dir)
    with embedded.connect(server_dir, kind):
        kill_again_and_again(location, [uri, str(server_dir)], delays(kills))


def test_a_file_system_without_room_is_told_and_the_older_checkpoint_stays(
    tmp_path: Path,
) -> None:
    """The kernel's answer to a file that grows too large is much like that to a full disk."""
    code = (
        "import resource, signal, sys\n"
        "from cm4storage.checkpoint.catalogue import Checkpoints\n"
        "from cm4storage.checkpoint.payload import GeneratedPayload\n"
        "from cm4storage.core.errors import StorageFault\n"
        "from cm4storage.storage.location import StoreLocation\n"
        "from cm4storage.storage.opening import open_store\n"
        "import saving\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open_store(StoreLocation.parse(sys.argv[1])) as store:\n"
        "    checkpoints = Checkpoints(store, 'r')\n"
        "    checkpoints.save(1, GeneratedPayload(saving.TENSORS, step=1))\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))\n"
        "    try:\n"
        "        checkpoints.save(2, GeneratedPayload(saving.TENSORS, step=2))\n"
        "    except StorageFault as error:\n"
        "        print(error)\n"
        "    print(checkpoints.newest_intact().manifest.step)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ck")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    *error, step = done.stdout.splitlines()
    assert "cannot write after" in error[0]
    assert "step_00000002.ckpt" in done.stdout
    assert step == "1"
    names = sorted(path.name for path in (tmp_path / "ck" / "r").iterdir())
    assert names == ["latest", "step_00000001.ckpt", "step_00000001.json"]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_store(StoreLocation.parse(str(tmp_path))) as store:
        checkpoints = Checkpoints(store, "r")
        monkeypatch.setattr(os, "writev", full)
        with pytest.raises(StorageFault, match="No space left") as caught:
            checkpoints.save(1, GeneratedPayload(saving.TENSORS))
    assert "step_00000001.ckpt" in caught.value.where


def test_a_server_that_dies_ends_the_writing_in_a_clear_error(tmp_path: Path) -> None:
    location = StoreLocation.parse("s3://cm4storage/ck", server_dir=tmp_path / "server")
    large = [Tensor("a", "U8", (2**28,))]
    with open_store(location, retry_limit_s=2.0) as store:
        checkpoints = Checkpoints(store, "r")
        checkpoints.save(1, GeneratedPayload(saving.TENSORS, step=1))
        begin = time.monotonic()
        with pytest.raises(StorageFault, match="object") as caught:
            checkpoints.save(2, Deadly(GeneratedPayload(large), tmp_path / "server"))
        assert time.monotonic() - begin < 30  # what the project promises; mostly 3 s
        assert "step_00000002.ckpt" in caught.value.where
    with open_store(location) as store:
        again = Checkpoints(store, "r")
        found = again.newest_intact()
        assert found.manifest is not None
        assert found.manifest.step == 1
        again.save(2, GeneratedPayload(saving.TENSORS, step=2))
        newest = again.newest_intact().manifest
        assert newest is not None
        assert newest.step == 2


class Deadly:
    """A payload on whose way the server is killed."""

    def __init__(self, payload: GeneratedPayload, server_dir: Path) -> None:
        self._payload, self._server_dir = payload, server_dir
        self._once = threading.Lock()
        self.tensors = payload.tensors

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        if start > 2**26 and self._once.acquire(blocking=False):
            os.kill(server_in(self._server_dir), signal.SIGKILL)
        self._payload.fill(number, start, buffer)


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here")
def test_fsync_is_called_for_file_and_folder(tmp_path: Path) -> None:
    log = tmp_path / "strace"
    code = (
        "import sys, saving\n"
        "from cm4storage.checkpoint.catalogue import Checkpoints\n"
        "from cm4storage.checkpoint.payload import GeneratedPayload\n"
        "from cm4storage.storage.location import StoreLocation\n"
        "from cm4storage.storage.opening import open_store\n"
        "with open_store(StoreLocation.parse(sys.argv[1]), fsync=True) as store:\n"
        "    Checkpoints(store, 'r').save(1, GeneratedPayload(saving.TENSORS, step=1))\n"
    )
    subprocess.run(
        ["strace", "-f", "-y", "-e", "trace=fsync,rename", "-o", str(log), sys.executable, "-c",
         code, str(tmp_path / "ck")], check=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    calls = [line.split(" ", 1)[1].strip() for line in log.read_text().splitlines()]
    of_interest = [call for call in calls if "/ck/r" in call]
    kinds = [
        "rename" if call.startswith("rename")
        else "fsync of a file" if ".tmp" in call
        else "fsync of the folder"
        for call in of_interest
    ]  # fmt: skip
    one = ["fsync of a file", "rename", "fsync of the folder"]
    assert [kind for kind in kinds if kind != "fsync of the folder"] == one[:2] * 3
    assert kinds[-3:] == one


def peak_bytes(size_bytes: int, folder: Path) -> int:
    """Return the most memory that a process had which wrote and read a checkpoint of that size."""
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from cm4storage.checkpoint.catalogue import Checkpoints\n"
        "from cm4storage.checkpoint.payload import GeneratedPayload\n"
        "from cm4storage.checkpoint.tensors import Tensor\n"
        "from cm4storage.storage.location import StoreLocation\n"
        "from cm4storage.storage.opening import open_store\n"
        "with open_store(StoreLocation.parse(sys.argv[1])) as store:\n"
        "    checkpoints = Checkpoints(store, 'r')\n"
        "    payload = GeneratedPayload([Tensor('a', 'U8', (int(sys.argv[2]),))])\n"
        "    checkpoints.verify(checkpoints.save(1, payload))\n"
        # What getrusage tells has that of the process in it which this one was forked from.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(size_bytes)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout) * 1024


def test_memory_does_not_grow_with_the_checkpoint(tmp_path: Path) -> None:
    small, large = (peak_bytes(size, tmp_path / "ck") for size in (2**27, 2**29))
    assert large < 512 * 2**20
    assert large - small < 32 * 2**20


def test_giving_up_leaves_no_thread(tmp_path: Path) -> None:
    class Broken(Deadly):
        def fill(self, number: int, start: int, buffer: memoryview) -> None:
            if start > 2**24:
                raise KeyError("the model is gone")
            self._payload.fill(number, start, buffer)

    with open_store(StoreLocation.parse(str(tmp_path))) as store:
        checkpoints = Checkpoints(store, "r", Encoding(workers=3))
        with pytest.raises(KeyError, match="the model is gone"):
            checkpoints.save(1, Broken(GeneratedPayload(saving.TENSORS_LARGE), tmp_path))
        assert checkpoints.newest().manifest is None
        assert list(store.list()) == []
    assert not [each for each in threading.enumerate() if each.name.startswith("checkpoint")]
    assert json.dumps([path.name for path in tmp_path.rglob("*.tmp")]) == "[]"
