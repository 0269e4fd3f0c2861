"""``cm4storage explore`` as a user runs it, over runs of our own too."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import own_runs
import pytest
from dlio_trees import change, training_run
from pages import Page


@pytest.fixture
def explore(tmp_path):
    """Return a function that runs the verb in the test's folder."""

    def run(*args, **env):
        return subprocess.run(
            [sys.executable, "-m", "cm4storage", "explore", *map(str, args)],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | env,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """Return a folder with a run of our own."""
    folder = tmp_path_factory.mktemp("own")
    own_runs.training(folder / "results/training/unet3d/run/20260101_000000", folder / "data")
    return folder / "results"


def test_page_over_own_and_published_runs(explore, own_run, tree, tmp_path):
    training_run(tree / "closed/Org/results/Sys/unet3d_h100/run1")
    done = explore(own_run, tree)
    assert (done.returncode, done.stdout) == (0, "page explore.html\n")
    found = Page((tmp_path / "explore.html").read_text())
    assert found.column("source") == ["cm4storage", "DLIO"]
    assert found.column("recomputed") == ["agrees", "agrees"]
    assert found.column("model") == ["unet3d", "unet3d"]
    assert found.column("dataset.record_length_bytes") == [5000, 150_000]
    assert found.column("wait_p99_ms")[0] > 0


@pytest.mark.parametrize("place", ["run1/summary.json", "n" * 300])
def test_a_page_that_cannot_be_written(explore, tree, place):
    training_run(tree / "run1")
    done = explore(tree, f"--page={tree / place / 'page.html'}")
    assert done.returncode == 3, done.stderr
    assert "choose another folder" in done.stderr


def test_output_for_programs(explore, tree):
    training_run(tree / "run1")
    training_run(tree / "run2", settings={"read_threads": 7})
    change(
        tree / "run2" / "summary.json", lambda it: it["metric"].update(train_au_mean_percentage=1.0)
    )
    done = explore(tree, "--out=json")
    assert "figures differ from their inputs: 1, such as run2" in done.stderr
    document = json.loads(done.stdout)
    assert [each["recomputed"]["verdict"] for each in document["runs"]] == ["agrees", "differs"]
    rows = list(csv.DictReader(io.StringIO(explore(tree, "--csv", "-q").stdout)))
    assert [row["reader.read_threads"] for row in rows] == ["2", "7"]
    assert [row["dataset.format"] for row in rows] == ["npz", "npz"]
    assert float(rows[0]["samples_per_s"]) == document["runs"][0]["metrics"]["samples_per_s"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_no_terminal_can_show_are_printed(explore, tree, encoding):
    training_run(tree / os.fsdecode(b"gr\xf6\xc3\x9fe"))
    done = explore(tree, "--csv", PYTHONIOENCODING=f"{encoding}:strict")
    assert (done.returncode, done.stderr.count("error")) == (0, 0)
    [row] = csv.DictReader(io.StringIO(done.stdout))
    assert row["run"] == {"utf-8": "gr\\udcf6ße", "ascii": "gr\\udcf6\\xdfe"}[encoding]
    [run] = json.loads(explore(tree, "--json").stdout)["runs"]
    assert os.fsencode(run["run"]) == b"gr\xf6\xc3\x9fe"


def test_names_command_no_terminal(explore, tree):
    name = "a\x1b[31mX\x1b]0;title\x07\x9b2J\x7f"
    training_run(tree / name)
    (tree / name / "summary.json").write_text("{")
    for way in ("--csv", "--json", "--page=page.html"):
        done = explore(tree, way)
        assert done.returncode == 0
        printed = done.stdout + done.stderr
        assert [char for char in printed if not char.isprintable() and char not in "\n\t"] == []
        assert r"such as a\u001b[31mX\u001b]0;title\u0007\u009b2J\u007f" in done.stderr
    [run] = json.loads(explore(tree, "--json").stdout)["runs"]
    assert run["run"] == name


def test_the_result_names_a_page_only_where_one_is_written(explore, tree, tmp_path):
    training_run(tree / "run")
    for way, page in (("--json", None), ("--page=page.html", str(tmp_path / "page.html"))):
        assert explore(tree, way, "--result_file=result.json").returncode == 0
        result = json.loads((tmp_path / "result.json").read_text())
        assert result == {"page": page, "runs": 1}


def test_nothing_to_show_is_an_error_that_says_what_to_do(explore, tree):
    done = explore(tree)
    assert done.returncode == 1
    assert "there are no runs" in done.stderr
    training_run(tree / "run")
    done = explore(tree, "--page=nowhere/page.html")
    assert done.returncode == 3
    assert "cannot write page.html" in done.stderr
