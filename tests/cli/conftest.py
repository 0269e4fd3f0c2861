"""The command line as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "cm4storage"]


@pytest.fixture
def start(tmp_path):
    """Return a function that starts ``cm4storage ARGS`` in the test's folder."""

    def run(*args, **options):
        return subprocess.Popen(
            [*COMMAND, *map(str, args)],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | options.pop("env", {}),
            **options,
        )

    return run


@pytest.fixture
def cm4storage(start):
    """Return a function that runs ``cm4storage ARGS`` to its end."""

    def run(*args, **options):
        process = start(*args, **options)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


@pytest.fixture
def workload_file(cm4storage, small_params, tmp_path):
    """Return a function from overrides to a workload file."""

    def make(params=""):
        path = tmp_path / "workload.json"
        done = cm4storage("workload", f"--params={small_params} {params}", f"--out={path}")
        assert done.returncode == 0, done.stderr
        return path

    return make
