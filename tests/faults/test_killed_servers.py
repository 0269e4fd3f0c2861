"""Servers that are killed or fall silent amid a job: an error, and a rerun completes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from servers import server_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "cm4storage"]
HANG_S = 120.0
PARAMS = (
    "dataset.num_files_train=200 dataset.record_length_bytes=100000 "
    "dataset.record_length_bytes_stdev=0 reader.batch_size=1 train.computation_time=0.02 "
    "train.epochs=2"
)

# tests/job and tests/dataset kill servers in the ordinary run.
pytestmark = pytest.mark.soak


class Job:
    """`cm4storage` verbs on one location, by a user who starts processes."""

    def __init__(self, folder: Path, storage: list[str], environment: dict[str, str]) -> None:
        self.folder, self.storage = folder, storage
        self.environment = os.environ | environment
        self.call("workload", f"--params={PARAMS}", "--out=w.json")

    def call(self, *words: str) -> None:
        """Run a verb that must succeed."""
        ends_well(self.start(*words))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a verb."""
        return subprocess.Popen(
            [*COMMAND, *words], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def generate(self) -> subprocess.Popen[str]:
        return self.start("generate", "--workload=w.json", "--result_file=g.json", *self.storage)

    def run(self) -> subprocess.Popen[str]:
        return self.start("run", "--workload=w.json", "--result_file=r.json", *self.storage)

    def digest(self) -> str:
        """Return the digest of the data set that `generate` has told last."""
        return str(json.loads((self.folder / "g.json").read_text())["content_digest"])


@pytest.fixture(scope="session")
def right_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of the same data set, made undisturbed in a folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = Job(folder, [f"--data_dir={folder}/data"], {})
    ends_well(job.generate())
    return job.digest()


def objects_in(folder: Path) -> int:
    """Return how large the server's volumes are, as a measure of how far a generation is."""
    return sum(path.stat().st_size for path in folder.rglob("*.dat"))


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def server_dir(tmp_path: Path) -> Path:
    return tmp_path / "server"


@contextlib.contextmanager
def own_server(server_dir: Path) -> Iterator[dict[str, str]]:
    """Run ``cm4storage serve s3`` as a user does; give what it says to export."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "s3", f"--server_dir={server_dir}", "--show_credentials"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(5)]
        exports = [line.removeprefix("export ").strip() for line in lines if "export " in line]
        yield dict(line.split("=", 1) for line in exports)
    finally:
        process.terminate()
        process.communicate(timeout=HANG_S)


def ends_well(process: subprocess.Popen[str]) -> None:
    """Wait for a job that must succeed."""
    said = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, said


def outcome_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and errors of a job that must come to an end."""
    _, errors = process.communicate(timeout=HANG_S)
    assert "Traceback" not in errors
    return process.returncode, errors


def test_the_embedded_server_killed_while_generating(
    tmp_path: Path, server_dir: Path, right_digest: str
) -> None:
    job = Job(tmp_path, ["--data_dir=s3://cm4storage/x", f"--server_dir={server_dir}"], {})
    process = job.generate()
    wait_for(lambda: objects_in(server_dir) > 2_000_000, process)
    os.kill(server_in(server_dir), signal.SIGKILL)
    code, errors = outcome_of(process)
    assert code == 3
    assert "the embedded server of this run has ended" in errors
    ends_well(job.generate())
    assert job.digest() == right_digest


def test_the_embedded_server_killed_while_loading(
    tmp_path: Path, server_dir: Path, right_digest: str
) -> None:
    job = Job(tmp_path, ["--data_dir=s3://cm4storage/x", f"--server_dir={server_dir}"], {})
    ends_well(job.generate())
    process = job.run()
    kill_while_loading(process, server_dir)
    code, errors = outcome_of(process)
    assert code == 3
    assert "the embedded server of this run has ended" in errors
    assert not list((tmp_path / "results").rglob("run.json"))
    ends_well(job.run())
    assert job.digest() == right_digest


def test_a_server_of_the_users_killed_while_generating_and_while_loading(
    tmp_path: Path, server_dir: Path, right_digest: str
) -> None:
    storage = ["--data_dir=s3://cm4storage/x"]
    with own_server(server_dir) as exports:
        job = Job(tmp_path, storage, exports)
        process = job.generate()
        wait_for(lambda: objects_in(server_dir) > 2_000_000, process)
        os.kill(server_in(server_dir), signal.SIGKILL)
        code, errors = outcome_of(process)
        assert code == 3
        assert "cannot " in errors
        assert exports["AWS_ENDPOINT_URL"] in errors
    with own_server(server_dir) as exports:
        job = Job(tmp_path, storage, exports)
        ends_well(job.generate())
        assert job.digest() == right_digest
        process = job.run()
        kill_while_loading(process, server_dir)
        assert outcome_of(process)[0] == 3
    with own_server(server_dir) as exports:
        ends_well(Job(tmp_path, storage, exports).run())


def test_a_server_that_falls_silent_while_loading(tmp_path: Path, server_dir: Path) -> None:
    with own_server(server_dir) as exports:
        job = Job(tmp_path, ["--data_dir=s3://cm4storage/x"], exports)
        ends_well(job.generate())
        process = job.run()
        server = kill_while_loading(process, server_dir, signal.SIGSTOP)
        try:
            code, errors = outcome_of(process)
        finally:
            os.kill(server, signal.SIGCONT)
        assert code == 3
        assert "cannot read the object: the service fell silent" in errors
        ends_well(job.run())


def kill_while_loading(
    process: subprocess.Popen[str], server_dir: Path, number: int = signal.SIGKILL
) -> int:
    """Send a signal to the server once the epochs have begun."""
    assert process.stderr is not None
    while line := process.stderr.readline():
        if line.startswith("training"):
            break
    server = server_in(server_dir)
    os.kill(server, number)
    return server
