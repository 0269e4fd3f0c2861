"""Ranks that are processes of this machine: talking, failing, dying."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cm4storage.core.errors import InternalError, StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.ranks.hub import Hub
from cm4storage.ranks.processes import ProcessDied

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _work_is_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def run(work, size, advance=None, **job):
    """Run `work` on `size` ranks and return their results."""
    with Hub("rank_work", size, {"work": work, **job}) as hub:
        return hub.run(advance or NoProgress().advance)


def test_ranks_gather_in_order_and_only_in_rank_0():
    progress = []
    results = run("talk", 3, progress.append, told=7)
    first = results[0]
    assert [each["rank"] for each in first["heard"]] == [0, 1, 2]
    assert {each["told"] for each in first["heard"]} == {7}
    assert {each["text"] for each in first["heard"]} == {"\u00e4" * 70_000}
    assert first["again"] == [0, 1, 2]
    assert [result["heard"] for result in results[1:]] == [None, None]
    assert all(result["waited_s"] >= 0 for result in results)
    assert sorted(progress) == [1, 2, 3]


def test_a_rank_has_no_threads_for_numpy(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert [after - before for before, after in run("calculate", 2)] == [0, 0]


def test_a_single_process_speaks_with_itself():
    alone = SingleProcess()
    assert (alone.barrier(), alone.gather({"a": 1})) == (None, [{"a": 1}])
    with pytest.raises(StorageFault, match="full"):
        alone.abort(StorageFault("full"))


def test_an_error_of_one_rank_ends_all_and_names_it():
    with pytest.raises(StorageFault, match="no space left") as caught:
        run("fail", 3)
    assert caught.value.where == "rank 1 of 3: /somewhere/file"
    assert caught.value.advice == "free some"


def test_a_defect_of_one_rank_is_shown_as_one(capfd):
    with pytest.raises(InternalError, match="KeyError: 'missing'") as caught:
        run("break_down", 2)
    assert caught.value.where.startswith("rank 0 of 2: ")
    assert "rank_work.py" in caught.value.where
    assert "Traceback" in capfd.readouterr().err


def test_ranks_that_do_not_do_the_same_are_found_out():
    with pytest.raises(InternalError, match="some ranks wait in barrier"):
        run("leave", 3)


@pytest.mark.parametrize("waits_in_barrier", [True, False])
def test_the_death_of_a_rank_ends_all_others(tmp_path, waits_in_barrier):
    pids = tmp_path / "pids"
    died = r"rank 2 of 4 was killed by signal 9 \(SIGKILL\); all others were ended"
    with pytest.raises(ProcessDied, match=died):
        run("linger", 4, pids=str(pids), kills=True, waits_in_barrier=waits_in_barrier)
    assert_gone(pids)


def test_no_rank_outlives_the_process_that_started_it(tmp_path):
    pids = tmp_path / "pids"
    program = (
        "import sys; from cm4storage.ranks.hub import Hub\n"
        "job = {'work': 'linger', 'pids': sys.argv[1], 'kills': False, 'waits_in_barrier': True}\n"
        "with Hub('rank_work', 3, job) as hub: hub.run(print)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(pids)])
    try:
        wait_until(lambda: pids.exists() and pids.read_text("ascii").count("\n") == 3)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not alive(pids))


def assert_gone(pids):
    """Fail where one of the processes is still there."""
    assert alive(pids) == []


def alive(pids):
    """Return those of the processes that run; one that waits for its parent's look does not."""
    there = []
    for pid in map(int, pids.read_text("ascii").split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                there.append(pid)
    return there


def wait_until(condition):
    """Wait for as long as it takes, within the time of a test."""
    while not condition():
        time.sleep(0.05)


def test_a_rank_that_cannot_start_is_named(capfd):
    with (
        pytest.raises(ProcessDied, match=r"rank \d of 2 ended with exit code 1"),
        Hub("no_such_module", 2, {}) as hub,
    ):
        hub.run(NoProgress().advance)
    assert "no_such_module" in capfd.readouterr().err
