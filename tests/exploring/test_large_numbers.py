"""Numbers as large or small as JSON can have are taken, and no figure is an infinity."""

from __future__ import annotations

import csv
import io
import json
from itertools import chain

import pytest
from dlio_trees import Shape, change, checkpoint_run, training_run, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.report.explore.export import as_csv, as_json
from cm4storage.report.explore.page import page
from cm4storage.results.collecting.collect import collect

LARGE = 1.7e308
NUMBERS = st.sampled_from([LARGE, -LARGE, 1e-300, -1e-300, 5e-324, 10**300, 10**400, 0, -1])
BEYOND = "its inputs are too large or too small to compute with"


def numbers_in(document, prefix=()):
    """Return the way to each number of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from numbers_in(value, (*prefix, key))
        elif isinstance(value, int | float):
            yield (*prefix, key)


def trees(folder):
    """Leave a training, checkpoints and a report over runs; return files and ways to numbers."""
    training_run(folder / "training", Shape(ranks=2, blocks=(4, 3), evaluates=True))
    checkpoint_run(folder / "checkpoints")
    of_run = {"train_throughput_samples_per_second": 1.0, "train_throughput_MB_per_second": 1.0}
    report = {"overall": of_run, "runs": {"a": of_run}}
    write(folder / "mlperf_storage_report.json", report)
    paths = sorted(folder.rglob("*.json"))
    return [(path, way) for path in paths for way in numbers_in(json.loads(path.read_text()))]


def outputs_of(folder):
    """Return the runs in all forms, each read by what reads it."""
    collection = collect([folder])

    def refuse(constant):
        raise AssertionError(constant)

    rows = list(csv.DictReader(io.StringIO(as_csv(collection))))
    assert "<html" in page(collection, [str(folder)], [None] * len(collection.runs))
    return json.loads(as_json(collection), parse_constant=refuse), rows


def test_any_number_is_taken(tree):
    places = trees(tree)
    originals = {path: path.read_text() for path, _ in places}
    changes = st.lists(st.tuples(st.sampled_from(places), NUMBERS), min_size=1, max_size=4)

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(changes)
    def take(changed):
        for path, text in originals.items():
            path.write_text(text)
        for (path, way), value in changed:

            def edit(document, way=way, value=value):
                for key in way[:-1]:
                    document = document[key]
                document[way[-1]] = value

            change(path, edit)
        document, rows = outputs_of(tree)
        assert len(document["runs"]) == len(rows) == 2

    take()


CASES = {
    "rates": ({"metric": {"train_throughput_samples_per_second": [LARGE, LARGE]}}, "throughput"),
    "utilizations": ({"metric": {"train_au_percentage": [LARGE, LARGE]}}, "meet_expectation"),
    "files": ({"num_files_train": 10**300, "num_samples_per_file": 10**300}, "data_size_per_host"),
}


@pytest.mark.parametrize(("changes", "name"), CASES.values(), ids=CASES)
def test_a_figure_beyond_all_numbers_is_missing(tree, only_run, changes, name):
    training_run(tree / "run")

    def edit(summary):
        summary["metric"].update(changes.get("metric", {}))
        summary.update({key: value for key, value in changes.items() if key != "metric"})

    change(tree / "run" / "summary.json", edit)
    assert any(name in each and BEYOND in each for each in only_run().recomputation.missing)


def test_a_metric_beyond_all_numbers_is_a_problem_of_its_run(tree):
    training_run(tree / "run")
    other = training_run(tree / "other")
    change(tree / "run" / "summary.json", lambda it: it.update(num_accelerators=1e-320))
    runs = {run.name: run for run in collect([tree]).runs}
    assert runs["run"].problems == (f"samples_per_s_per_accelerator: {BEYOND}",)
    assert set(chain.from_iterable(run.problems for run in runs.values())) == {
        f"samples_per_s_per_accelerator: {BEYOND}"
    }
    mean = other["metric"]["train_throughput_mean_samples_per_second"]
    assert runs["run"].metrics["samples_per_s"] == pytest.approx(mean)
    assert "samples_per_s_per_accelerator" not in runs["run"].metrics
