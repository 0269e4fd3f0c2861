"""``cm4storage run --readers=processes``: what is recorded, what is refused, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import time
from pathlib import Path

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "thing"}
MODULE = b"cm4storage.loader.processes.reader"


@pytest.fixture
def data(cm4storage, workload_file):
    """Return the options of a run whose data set exists."""
    workload = f"--workload={workload_file('reader.read_threads=2 train.computation_time=0.2')}"
    assert cm4storage("generate", workload, "--data_dir=data").returncode == 0
    return [workload, "--data_dir=data", "--readers=processes"]


def test_the_record_and_the_page_say_what_has_read(cm4storage, data, tmp_path):
    done = cm4storage("run", *data, "--cold", "--max_epochs=1", "--result_file=result.json")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / json.loads((tmp_path / "result.json").read_text())["run_dir"]
    record = json.loads((folder / "run.json").read_text())
    assert record["conduct"]["readers"] == "processes"
    assert cm4storage("report", folder).returncode == 0
    assert "reader processes" in (folder / "report.html").read_text()
    report = json.loads((folder / "report.json").read_text())
    assert report["conduct"]["readers"] == "processes"


def test_a_log_of_operations_wants_threads(cm4storage, data, tmp_path):
    (tmp_path / "log.tsv.zst").write_bytes(b"the last one")
    done = cm4storage("run", *data, "--oplog=log.tsv.zst")
    assert done.returncode == 1
    told = "readers cannot be processes here: their operations would be missing in the log"
    assert told in done.stderr
    assert "to do: leave --readers=processes out" in done.stderr
    assert (tmp_path / "log.tsv.zst").read_bytes() == b"the last one"


def readers_of(pid):
    """Return the reader processes that a process has started."""
    with contextlib.suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [child for child in children if MODULE in command_of(child)]
    return []


def command_of(pid):
    """Return a process's command line; that of one that has ended is empty."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def wait_until(condition):
    """Wait until something is so, but not for ever."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_readers_end_with_their_run(start, data, tmp_path, number):
    process = start("run", *data)
    wait_until(lambda: len(readers_of(process.pid)) == 2)
    readers = readers_of(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -9), said
    assert "Traceback" not in said, said[:3000]
    wait_until(lambda: not any(command_of(reader) for reader in readers))
    assert not list((tmp_path / "results").rglob("run.json"))


def test_an_object_store_is_refused_before_anything_is_asked_of_it(cm4storage, data):
    place = ["--data_dir=s3://bucket", "--endpoint_url=http://127.0.0.1:9"]
    done = cm4storage("run", data[0], *place, "--readers=processes", env=KEYS)
    assert done.returncode == 1
    assert "readers cannot be processes here: they read files, and no object store" in done.stderr


def test_ctrl_c_at_a_terminal_shows_no_traceback_of_a_reader(start, data):
    """A terminal sends it to the whole process group; here readers are met while they start."""
    process = start("run", *data, start_new_session=True)
    wait_until(lambda: readers_of(process.pid))
    assert os.getsid(int(readers_of(process.pid)[0])) != process.pid
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said, said[:3000]


def test_memory_that_cannot_be_had_is_told(cm4storage, data):
    limit = (resource.RLIMIT_FSIZE, (20_000, 20_000))  # counts for memory behind a descriptor, too
    done = cm4storage("run", *data, preexec_fn=lambda: resource.setrlimit(*limit))
    assert done.returncode == 1, done
    assert "cannot start the reader processes: [Errno 27] File too large" in done.stderr
