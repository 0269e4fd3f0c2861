"""One real run for all tests of this folder."""

from __future__ import annotations

import json

import pytest
from finished_runs import finished_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Return the folder of one finished run."""
    return finished_run(tmp_path_factory.mktemp("reported"))


@pytest.fixture
def report(run_folder):
    """Return the run's report."""
    return json.loads((run_folder / "report.json").read_text(encoding="utf-8"))
