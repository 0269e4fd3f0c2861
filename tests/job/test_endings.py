"""Whatever way a run with the embedded server ends, no process and no half result stays."""

from __future__ import annotations

import os
import signal
import time

import pytest

MAIN = "run,dlio,mlperf,_s3"


def start_and_wait_for(home, text, params):
    process = home.start(MAIN, f"--params={params}", start_new_session=True)
    output = ""
    while text not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    return process


@pytest.mark.parametrize("moment", ["(embedded server) works", "training:"])
@pytest.mark.parametrize(
    ("way", "codes"),
    [("ctrl-c", {130}), ("term", {143}), ("kill", {-9})],
)
def test_an_ended_run_leaves_no_process_and_no_results(cm_home, fast, moment, way, codes):
    cm_home.forget_results()
    process = start_and_wait_for(cm_home, moment, f"{fast} train.computation_time=30")
    assert any("weed" in command for command in cm_home.left_over().values())
    if way == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    elif way == "term":
        process.terminate()
    else:
        process.kill()
    output, _ = process.communicate(timeout=30)
    assert process.returncode in codes, output
    assert "Traceback" not in output
    assert not cm_home.left_over(patience_s=8 if way == "kill" else 0)
    assert not list((cm_home.work / "results").rglob("*.json"))


def test_an_error_leaves_no_process(cm_home, fast):
    code, output = cm_home.run(MAIN, f"--params={fast}", "--results_dir=/proc/nothing")
    assert code == 3, output
    assert "cannot make a folder for the results" in " ".join(output.split())
    assert not cm_home.left_over()


def test_a_killed_server_is_a_clear_error_and_a_rerun_completes(cm_home, fast):
    params = f"{fast} dataset.num_files_train=140 train.computation_time=0.5"
    process = start_and_wait_for(cm_home, "training:", params)
    time.sleep(0.5)
    for number, command in cm_home.left_over().items():
        if "weed" in command:
            os.kill(number, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    if process.returncode != 0:  # all data may have been read before the kill
        assert process.returncode == 3, output
        assert "Traceback" not in output
    assert not cm_home.left_over(patience_s=8)
    code, output = cm_home.run(MAIN, f"--params={fast}")
    assert code == 0, output
