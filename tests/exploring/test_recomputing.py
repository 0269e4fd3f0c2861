"""Derived figures follow from their inputs, and what does not is named."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from dlio_trees import Shape, change, checkpoint_run, training_run, write

from cm4storage.results.collecting.collect import collect

SHAPES = {
    "one block": Shape(),
    "blocks of different lengths": Shape(blocks=(9, 4, 17)),
    "an evaluation": Shape(evaluates=True),
    "one rank": Shape(ranks=1, epochs=5),
    "many ranks": Shape(ranks=24, epochs=3),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_everything_agrees_where_all_inputs_are_there(tree, only_run, shape):
    training_run(tree / "run", shape)
    run = only_run()
    assert run.recomputation.verdict == "agrees"
    assert run.recomputation.reasons == ()
    kinds = 2 if shape.evaluates else 1
    assert len(run.recomputation.figures) == 1 + kinds * (7 + 2 * shape.epochs)


@pytest.mark.parametrize(
    ("formula", "skipped"), [("v1.0", 1), ("v2.0", 1), ("v3.0", 1), ("v2.0", 0), ("v3.0", 3)]
)
def test_formula_of_the_round_is_told_by_the_steps(tree, only_run, formula, skipped):
    training_run(tree / "run", Shape(formula=formula, skipped=skipped))
    run = only_run()
    assert run.identity["formula"] == formula
    assert run.recomputation.verdict == "agrees"


@pytest.mark.parametrize(
    "name",
    [
        "train_au_mean_percentage", "train_au_stdev_percentage", "train_io_mean_MB_per_second",
        "train_throughput_mean_samples_per_second", "train_io_stdev_MB_per_second",
        "train_throughput_stdev_samples_per_second",
    ],
)  # fmt: skip
@pytest.mark.parametrize("factor", [1 + 1e-8, 1.5])
def test_a_changed_figure_differs(tree, only_run, name, factor):
    training_run(tree / "run")
    change(
        tree / "run" / "summary.json",
        lambda it: it["metric"].update({name: it["metric"][name] * factor}),
    )
    found = only_run().recomputation
    assert found.verdict == "differs"
    assert [each.name for each in found.differing] == [name]


def test_the_last_bits_do_not_matter(tree, only_run):
    training_run(tree / "run")

    def edit(summary):
        metric = summary["metric"]
        metric["train_au_mean_percentage"] = math.nextafter(metric["train_au_mean_percentage"], 0)

    change(tree / "run" / "summary.json", edit)
    assert only_run().recomputation.verdict == "agrees"


def test_a_changed_rank_differs_in_its_epoch(tree, only_run):
    training_run(tree / "run")
    change(tree / "run" / "1_output.json", lambda it: it["2"]["au"].update(block1=3.0))
    assert [each.name for each in only_run().recomputation.differing] == ["train_au_percentage[2]"]


def test_an_epoch_without_a_step_is_0_as_in_dlio(tree, only_run):
    """``end_train`` of dlio_benchmark, where the sum of the steps is 0."""
    training_run(tree / "run", Shape(epochs=1))
    for rank in range(3):

        def edit(output):
            for values in ("load", "proc", "compute"):
                output["1"][values]["block1"] = []

        change(tree / "run" / f"{rank}_output.json", edit)
    names = ["train_au_percentage[1]", "train_throughput_samples_per_second[1]"]
    assert [each.name for each in only_run().recomputation.differing] == names
    assert {each.recomputed for each in only_run().recomputation.differing} == {0.0}


def test_a_wrong_verdict_about_the_threshold_differs(tree, only_run):
    training_run(tree / "run")
    change(
        tree / "run" / "summary.json",
        lambda it: it["metric"].update(train_au_meet_expectation="fail"),
    )
    assert only_run().recomputation.reasons == (
        "train_au_meet_expectation: published fail, recomputed success",
    )


MISSING = {
    "a rank": (["1_output.json"], "the files of 1 of 3 ranks are not there"),
    "all ranks": ([f"{rank}_output.json" for rank in range(3)], "is not there"),
    "configuration": (["dlio_config/config.yaml"], "the record length is in no configuration"),
}


@pytest.mark.parametrize(("names", "reason"), MISSING.values(), ids=MISSING)
def test_what_was_not_published_is_named(tree, only_run, names, reason):
    training_run(tree / "run")
    for name in names:
        (tree / "run" / name).unlink()
    found = only_run().recomputation
    assert found.verdict == "agrees in part"
    assert any(reason in each for each in found.missing)


def test_ranks_can_be_left_alone(tree, only_run):
    training_run(tree / "run")
    (tree / "run" / "0_output.json").write_text("this would be an error")
    assert only_run(depth="summary").recomputation.verdict == "agrees"
    assert "0_output.json is no JSON" in only_run().recomputation.missing[0]


def test_checkpoints_agree_and_have_the_figures_of_the_rules(tree, only_run):
    durations = checkpoint_run(tree / "run")
    run = only_run()
    assert (run.kind, run.recomputation.verdict, len(run.recomputation.figures)) == (
        "checkpointing", "agrees", 9,
    )  # fmt: skip
    for kind in ("save", "load"):
        longest = np.max([durations[kind, 0], durations[kind, 1]], axis=0)
        assert run.metrics[f"{kind}_s"] == pytest.approx(np.mean(longest), rel=1e-12)
        assert run.metrics[f"{kind}_gib_per_s"] == pytest.approx(np.mean(12.5 / longest), rel=1e-12)
        assert run.metrics[f"{kind}_rank_0_s"] == pytest.approx(np.mean(durations[kind, 0]))


def test_checkpoints_of_two_epochs_are_not_ranks_of_one(tree, only_run):
    """Their names begin anew in each epoch: two epochs have a ``save_ckpt1``."""
    durations = checkpoint_run(tree / "run")
    for rank in range(2):

        def edit(stats):
            stats["2"] = {
                f"{kind}_ckpt{number}": stats["1"].pop(f"{kind}_ckpt{number + 2}")
                for kind in ("save", "load")
                for number in (1, 2)
            }

        change(tree / "run" / f"{rank}_per_epoch_stats.json", edit)
    run = only_run()
    for kind in ("save", "load"):
        longest = np.max([durations[kind, 0], durations[kind, 1]], axis=0)
        assert run.metrics[f"{kind}_s"] == pytest.approx(np.mean(longest), rel=1e-12)
    assert run.recomputation.verdict == "agrees"


def test_nan_of_dlio_is_no_figure(tree, only_run):
    checkpoint_run(tree / "run")

    def edit(summary):
        for name in summary["metric"]:
            if name.startswith("load"):
                summary["metric"][name] = math.nan

    change(tree / "run" / "summary.json", edit)
    assert "NaN" in (tree / "run" / "summary.json").read_text()
    run = only_run()
    assert run.state == "complete"
    assert "load_rank_0_s" not in run.metrics
    assert run.recomputation.verdict == "agrees"


def test_published_report_over_runs(tree):
    summaries = [training_run(tree / f"run{n}", Shape(seed=n)) for n in (1, 2, 3)]
    rates = [each["metric"]["train_throughput_mean_samples_per_second"] for each in summaries]
    mib = [each["metric"]["train_io_mean_MB_per_second"] for each in summaries]
    report = {
        "overall": {
            "train_throughput_mean_samples_per_second": np.mean(rates),
            "train_throughput_stdev_samples_per_second": np.std(rates),
            "train_throughput_mean_MB_per_second": np.mean(mib),
            "train_throughput_stdev_MB_per_second": np.std(mib),
        },
        "runs": {
            f"renamed-{n}": {
                "train_throughput_samples_per_second": rate, "train_throughput_MB_per_second": mb,
            }
            for n, (rate, mb) in enumerate(zip(rates, mib, strict=True))
        },
    }  # fmt: skip
    write(tree / "mlperf_storage_report.json", report)
    [found] = collect([tree]).reports
    assert (found.recomputation.verdict, len(found.recomputation.figures)) == ("agrees", 10)
    (tree / "run2" / "summary.json").unlink()
    [found] = collect([tree]).reports
    assert found.recomputation.reasons == ("it is about 3 runs, and 2 are there",)


def published():
    """Return the published submissions that are at hand: where a variable says, or nearby."""
    named = os.environ.get("CM4STORAGE_PUBLISHED_RESULTS")
    nearby = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
    return [Path(named)] if named else sorted(nearby.glob("mlperf-storage-results-v*"))


@pytest.mark.skipif(not published(), reason="no published results are at hand")
def test_published_submissions_agree():
    collection = collect(published())
    every = [*collection.runs, *collection.reports]
    figures = [figure for each in every for figure in each.recomputation.figures]
    assert [figure for figure in figures if not figure.agrees] == []
    assert len(collection.runs) >= 10
    assert len(figures) >= 108
    assert {run.state for run in collection.runs} == {"complete"}
    assert {run.identity["submitter"] for run in collection.runs} >= {"HPE", "DDN"}
