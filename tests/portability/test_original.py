"""The recipes under the original script automation, where that one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from foreign_engines import SMALL, summaries

if TYPE_CHECKING:
    from foreign_engines import Engine

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
OURS = "cm run cm4storage:script --tags=..."


def test_job_runs_and_names_the_way_to_our_engine(original: Engine) -> None:
    said = original.output(
        *("cm", "run", "script", "--tags=run,dlio,mlperf,_file"),
        *(f"--params={SMALL}", "--max_epochs=1", "--quiet"),
    )
    assert "cmx4mlops" in original.output("cm", "find", "automation", "script")
    assert "7 npz files" in said
    assert "note: the script automation of" in said
    assert OURS in said
    assert len(summaries(original)) == 1


def test_workload_follows_its_inputs(original: Engine) -> None:
    words = ("cm", "run", "script", "--tags=get,dlio,workload", "--quiet")
    assert "7 npz files" in original.output(*words, f"--params={SMALL}")
    assert "70 npz files" in original.output(*words)


def test_configuration_of_the_user(original: Engine) -> None:
    words = ("cm", "run", "script", "--tags=get,dlio,workload", "--config=own.yaml", "--quiet")
    assert "6 npz files" in original.output(*words)


def test_our_engine_by_name_says_no_such_thing(original: Engine) -> None:
    said = original.output("cm", "run", "cm4storage:script", "--tags=get,dlio,workload", "--quiet")
    assert "get-dlio-workload" in said
    assert "note: the script automation of" not in said


def test_doctor_says_which_automation_wins(original: Engine) -> None:
    done = original.call("cm", "doctor", "cm4storage")
    assert done.returncode == 1
    assert "problem  automation script" in done.stdout
    assert OURS in done.stdout
