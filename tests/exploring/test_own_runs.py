"""Runs of this project agree to the last figure, and damaged records are taken."""

from __future__ import annotations

import json

import numpy as np
import own_runs
import pytest
from dlio_trees import change
from hypothesis import given, settings
from hypothesis import strategies as st

from cm4storage.results.collecting.collect import collect

RECORDS = {"training": "run.json", "checkpointing": "checkpoint_run.json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return folders with one run of each kind."""
    folder = tmp_path_factory.mktemp("own")
    own_runs.training(folder / "training" / "run", folder / "data")
    own_runs.checkpointing(folder / "checkpointing" / "run")
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """Return a function from a kind to a run of its own for the test."""

    def copy(kind):
        target = tmp_path / kind
        target.mkdir(exist_ok=True)
        for path in (whole / kind / "run").glob("*.json"):
            (target / path.name).write_bytes(path.read_bytes())
        return target

    return copy


def read(folder):
    [run] = collect([folder]).runs
    return run


def test_all_figures_of_a_training_agree(whole):
    run = read(whole / "training")
    assert (run.state, run.recomputation.verdict) == ("complete", "agrees")
    assert (run.identity["scale"], run.identity["model"]) == ("quick", "unet3d")
    names = {each.name for each in run.recomputation.figures}
    assert {"au_mean_percent", "epochs[2].au_percent", "train_au_percentage[2]"} <= names
    assert {"p99_latency_ms", "train_io_mean_MB_per_second"} <= names
    assert run.metrics["wait_p99_ms"] > 0
    assert run.parameters["storage.backend"] == "file"


def checkpointed(whole, folder, steps):
    """Leave a run of twice four steps in `folder` that has a checkpoint after every `steps`."""
    own_runs.training(
        folder, whole / "data", workflow__checkpoint=True, model__model_size_bytes=10_000,
        checkpoint__steps_between_checkpoints=steps,
    )  # fmt: skip
    return read(folder)


def test_figures_of_dlios_files_are_means_over_blocks(whole, tmp_path):
    found = checkpointed(whole, tmp_path, 3).recomputation
    assert (found.verdict, found.reasons) == ("agrees", ())
    metric = json.loads((tmp_path / "summary.json").read_text())["metric"]
    output = json.loads((tmp_path / "0_output.json").read_text())
    assert {block: len(steps) for block, steps in output["1"]["proc"].items()} == {
        "block1": 3, "block2": 1,
    }  # fmt: skip
    assert output["1"]["au"]["block2"] == 0  # the only step is not measured
    for name, key in (("au", "au_percentage"), ("throughput", "throughput_samples_per_second")):
        means = [
            np.average(list(epoch[name].values()), weights=[len(s) for s in epoch["proc"].values()])
            for epoch in (output["1"], output["2"])
        ]
        assert metric[f"train_{key}"] == pytest.approx(means, rel=1e-12)


def test_blocks_of_one_step_count_as_0_in_dlios_files_alone(whole, tmp_path):
    assert checkpointed(whole, tmp_path, 1).recomputation.verdict == "agrees"
    metric = json.loads((tmp_path / "summary.json").read_text())["metric"]
    assert metric["train_au_percentage"] == [0, 0]
    assert metric["train_au_meet_expectation"] == "fail"
    assert json.loads((tmp_path / "report.json").read_text())["au_mean_percent"] > 0


def test_evaluations_are_means_over_all_of_them(whole, tmp_path):
    own_runs.training(
        tmp_path, whole / "data", dataset__num_files_eval=4, workflow__evaluation=True,
        evaluation__eval_time=0.001, reader__batch_size_eval=1,
    )  # fmt: skip
    metric = json.loads((tmp_path / "summary.json").read_text())["metric"]
    assert len(set(metric["eval_au_percentage"])) == 2
    for takes in ("the report", "the record"):
        found = read(tmp_path).metrics
        for name, key in (
            ("eval_au_mean_percentage", "eval_au_mean_percent"),
            ("eval_throughput_mean_samples_per_second", "eval_samples_per_s"),
        ):
            assert found[key] == pytest.approx(metric[name], rel=1e-9), takes
        for name in ("report.json", "summary.json"):
            (tmp_path / name).unlink(missing_ok=True)


def test_all_figures_of_checkpoints_agree(whole):
    run = read(whole / "checkpointing")
    assert (run.state, run.kind, run.recomputation.verdict) == (
        "complete", "checkpointing", "agrees",
    )  # fmt: skip
    names = {each.name for each in run.recomputation.figures}
    assert {"save_checkpoints[2].duration_max_s", "load_checkpoint_io_mean_GB_per_second"} <= names
    assert run.metrics["save_s"] == pytest.approx(2.5, rel=1e-12)
    assert run.metrics["save_rank_0_s"] == pytest.approx(1.5, rel=1e-12)
    assert run.metrics["checkpoint_gib"] == 3.0
    assert run.parameters["layout.zero_stage"] == 3


@pytest.mark.parametrize(
    ("kind", "figure"),
    [("training", "au_mean_percent"), ("checkpointing", "load_duration_max_over_ranks_mean_s")],
)
def test_a_changed_figure_differs(copied, kind, figure):
    folder = copied(kind)
    change(folder / "report.json", lambda it: it.update({figure: it[figure] + 0.5}))
    assert [each.name for each in read(folder).recomputation.differing] == [figure]


def test_a_run_without_its_report_is_partial_and_has_its_figures(copied):
    folder = copied("training")
    (folder / "report.json").unlink()
    (folder / "summary.json").unlink()
    run = read(folder)
    assert run.problems == ("there is no summary.json: its report was not written",)
    assert run.metrics["au_mean_percent"] > 0


def places_in(document, prefix=()):
    """Return the way to each value of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from places_in(value, (*prefix, key))


@pytest.mark.parametrize("kind", RECORDS)
def test_any_damage_to_a_record_is_taken(whole, tmp_path, kind):
    original = (whole / kind / "run" / RECORDS[kind]).read_text()
    places = list(places_in(json.loads(original)))
    other = st.sampled_from([None, "", "x", -1, 0, 1e308, [], [1], {}, {"a": 1}, True])

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(places), other, st.booleans())
    def damage(place, value, removes):
        document = json.loads(original)
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        if removes:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        (tmp_path / RECORDS[kind]).write_text(json.dumps(document))
        assert len(collect([tmp_path]).runs) == 1

    damage()
