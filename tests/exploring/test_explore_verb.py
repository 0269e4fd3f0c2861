"""``cm4storage explore`` as a user runs it, over runs of our own too."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
from dlio_trees import change, training_run
from pages import Page

import cm4storage
from cm4storage.results.collecting.collect import collect


@pytest.fixture
def explore(tmp_path):
    """Return a function that runs the verb in the test's folder."""

    def run(*args):
        return subprocess.run(
            [sys.executable, "-m", "cm4storage", "explore", *map(str, args)],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """Return a folder with a run of our own."""
    folder = tmp_path_factory.mktemp("own")
    overrides = {
        "dataset.num_files_train": 8, "dataset.record_length_bytes": 5000,
        "dataset.record_length_bytes_stdev": 0, "reader.batch_size": 2,
        "train.computation_time": 0.001, "train.epochs": 2,
    }  # fmt: skip
    workload = cm4storage.load_workload("unet3d_h100", overrides, scale="quick")
    report = cm4storage.run(workload, data_dir=str(folder / "data"))
    report.save(folder / "results" / "training" / "unet3d" / "run" / "20260101_000000")
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


def test_own_run_agrees_to_the_last_figure_and_damage_is_found(own_run):
    [run] = collect([own_run]).runs
    assert run.state == "complete"
    assert run.identity["scale"] == "quick"
    names = {each.name for each in run.recomputation.figures}
    assert {"au_mean_percent", "epochs[2].au_percent", "train_au_percentage[2]"} <= names
    change(run.folder / "report.json", lambda it: it.update(au_mean_percent=12.5))
    [run] = collect([own_run]).runs
    assert [each.name for each in run.recomputation.differing] == ["au_mean_percent"]
    (run.folder / "report.json").unlink()
    (run.folder / "summary.json").unlink()
    [run] = collect([own_run]).runs
    assert run.problems == ("there is no summary.json: its report was not written",)
    assert run.metrics["au_mean_percent"] > 0


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


def test_nothing_to_show_is_an_error_that_says_what_to_do(explore, tree):
    done = explore(tree)
    assert done.returncode == 1
    assert "there are no runs" in done.stderr
    training_run(tree / "run")
    done = explore(tree, "--page=nowhere/page.html")
    assert done.returncode == 3
    assert "cannot write page.html" in done.stderr
