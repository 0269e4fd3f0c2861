"""The page: complete without a script, and harmless whatever runs are called."""

from __future__ import annotations

import re

import pytest
from dlio_trees import Shape, checkpoint_run, training_run, write
from pages import Page

from cm4storage.report.explore.page import page, write_page
from cm4storage.results.collecting.collect import collect
from cm4storage.results.collecting.model import CollectedRun, Collection

HOSTILE = "</script><script>alert(1)</script><!-- ]]> \"'&amp; {{ 7*7 }}"


def page_of(*roots):
    collection = collect(list(roots))
    return Page(page(collection, [str(root) for root in roots], [None] * len(collection.runs)))


def made(count, **parameters):
    """Return a collection of runs of one sweep."""
    return Collection(
        tuple(
            CollectedRun(
                name=f"sweep/point {place}", folder=None, source="DLIO", kind="training",
                state="complete",
                parameters={"reader.read_threads": 2 ** (place % 6), **parameters},
                metrics={"samples_per_s": 100.5 + place, "au_mean_percent": 90.0},
            )
            for place in range(count)
        )
    )  # fmt: skip


def test_every_run_is_in_the_table_and_in_the_data(tree):
    for place in range(3):
        training_run(tree / f"run {place}", Shape(seed=place), settings={"read_threads": 2**place})
    checkpoint_run(tree / "checkpoints")
    found = page_of(tree)
    assert found.rows == ["checkpoints", "run 0", "run 1", "run 2"]
    assert found.column("run") == found.rows
    assert found.column("reader.read_threads") == [None, 1, 2, 4]
    assert found.column("recomputed") == ["agrees"] * 4
    assert [value > 0 for value in found.column("samples_per_s")[1:]] == [True] * 3


def test_text_stays_text(tree):
    folder = tree / HOSTILE.replace("/", "\N{FRACTION SLASH}")
    training_run(folder, settings={"odd": HOSTILE, "file_shuffle": "</script>"})
    (tree / "<img src=x>").mkdir()
    (tree / "<img src=x>" / "summary.json").write_text("{")
    found = page_of(tree)
    assert found.column("reader.odd")[1] == HOSTILE
    assert len(found.all("script")) == 2
    assert found.all("img") == []
    assert folder.name in found.rows
    assert "49" not in " ".join(found.rows)


def test_hostile_names_of_any_kind_are_embedded_as_they_are():
    name = "".join(map(chr, range(0x20, 0x7F))) + "\u2028\u2029\u00e9" + HOSTILE
    runs = (CollectedRun(name, None, "DLIO", "unknown", "unreadable", (HOSTILE,)),)
    found = Page(page(Collection(runs, problems=(HOSTILE,)), [HOSTILE], [None]))
    assert name.endswith(found.column("run")[0])
    assert found.column("why") == [f"{HOSTILE}"]
    assert len(found.all("script")) == 2


def test_page_forbids_everything_but_itself():
    text = page(made(2), ["results"], [None, None])
    [policy] = [
        each["attributes"]["content"] for each in Page(text).all("meta")
        if each["attributes"].get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert re.findall(r"https?://", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert " style=" not in text
    assert re.findall(r"\son\w+=", text) == []


@pytest.mark.parametrize("count", [1, 2000])
def test_one_run_and_two_thousand(count):
    text = page(made(count), ["results"], [None] * count)
    found = Page(text)
    assert len(found.rows) == count
    assert len(found.column("samples_per_s")) == count
    assert len(text) < 100_000 + count * 600


def test_what_was_swept_is_shown_before_what_goes_with_the_workload():
    runs = [
        CollectedRun(
            name=f"{workload}{value}", folder=None, source="DLIO", kind="training",
            state="complete", identity={"workload": workload},
            parameters={"train.swept": value, **{f"reader.a{n}": workload for n in range(9)}},
            metrics={"samples_per_s": 1.0},
        )
        for workload in ("unet3d", "bert") for value in (1, 2)
    ]  # fmt: skip
    found = Page(page(Collection(tuple(runs)), ["results"], [None] * 4))
    shown = [each["key"] for each in found.data["columns"] if each["shown"]]
    assert "train.swept" in shown
    assert len([key for key in shown if key.startswith("reader.")]) == 4


def test_what_is_the_same_in_all_runs_is_said_once():
    found = Page(page(made(3, seed=5), ["results"], [None] * 3))
    assert "seed" in [each["text"] for each in found.all("dt")]
    assert [each["key"] for each in found.data["columns"] if each["key"] == "seed"] == []


def test_unreadable_runs_have_their_reason_on_the_page(tree):
    training_run(tree / "good")
    (tree / "bad").mkdir()
    (tree / "bad" / "summary.json").write_text("{")
    found = page_of(tree)
    [problem] = [
        each["text"] for each in found.all("li") if "summary.json is no JSON" in each["text"]
    ]
    assert "bad" in problem
    assert found.column("state") == ["unreadable", "complete"]


def test_parameters_named_like_columns_do_no_harm(tree):
    training_run(tree / "run")
    config = tree / "run" / "dlio_config" / "config.yaml"
    config.write_text(config.read_text() + "  run: x\n  state: y\n  samples_per_s: z\n")
    found = page_of(tree)
    keys = [each["key"] for each in found.data["columns"]]
    assert len(keys) == len(set(keys))
    assert found.column("state") == ["complete"]


def test_a_run_with_a_page_is_linked(tree, tmp_path):
    training_run(tree / "a b#c" / "run")
    (tree / "a b#c" / "run" / "report.html").write_text("")
    write_page(collect([tree]), tmp_path / "explore.html", ["tree"])
    found = Page((tmp_path / "explore.html").read_text())
    links = [each["attributes"]["href"] for each in found.all("a")]
    assert "tree/a%20b%23c/run/report.html" in links


def test_labels_and_headings_are_there():
    found = Page(page(made(2), ["results"], [None] * 2))
    assert [each["text"] for each in found.all("h1")] == ["2 runs"]
    controls = found.all("select") + found.all("input")
    assert len(controls) > 6
    labels = found.all("label")
    assert len(labels) == len(controls)
    assert found.all("html")[0]["attributes"]["lang"] == "en"


def test_published_report_that_differs_is_named(tree):
    training_run(tree / "run1")
    overall = {"train_throughput_mean_samples_per_second": 1.0}
    write(tree / "mlperf_storage_report.json", {"overall": overall, "runs": {"x": {}}})
    texts = [each["text"] for each in page_of(tree).all("li")]
    assert any(text.startswith("Differs mlperf_storage_report.json") for text in texts)
