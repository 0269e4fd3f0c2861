"""One real run for all tests of a file, and reports that are made from it."""

from __future__ import annotations

import copy
import json

import pytest
from finished_runs import finished_run

from cm4storage.results.comparing import rules as tolerances


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Return the folder of one finished run."""
    return finished_run(tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="session")
def _report(run_folder):
    return json.loads((run_folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def report(_report):
    """Return a copy of the run's report, to be changed at will."""
    return copy.deepcopy(_report)


@pytest.fixture
def rules():
    """Return the rules of the package in their usual mode."""
    return tolerances.load().chosen("standard", "file")
