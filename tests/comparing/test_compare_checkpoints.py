"""Runs of checkpoints are judged by the rules' figures, where they are the same experiment."""

from __future__ import annotations

import copy
import json
import shutil

import pytest

from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.core.progress import NoProgress
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.comparing.comparison import Outcome, compare
from cm4storage.results.comparing.reports import load_all
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

SMALL = (
    "model.num_layers=1 model.transformer.hidden_size=64 model.transformer.ffn_hidden_size=64 "
    "model.transformer.vocab_size=64 checkpoint.num_checkpoints_write=2 "
    "checkpoint.num_checkpoints_read=1 checkpoint.time_between_checkpoints=0"
)
WRITE = "save_throughput_min_over_ranks_mean_gib_per_s"
READ = "load_duration_max_over_ranks_mean_s"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the results of one run of two ranks: its record and its report."""
    data, results = (tmp_path_factory.mktemp(name) for name in ("checkpoints", "results"))
    resolved = resolve(Request(model="llama3_8b", params=SMALL))
    job = CheckpointJob(resolved, StoreLocation.parse(str(data)), 2, "the command")
    record = run_checkpoints(job, NoProgress())
    record.save(results)
    write_checkpoint_files(of_checkpoint_run(record), results)
    return results


@pytest.fixture
def saved(folder):
    """Return the report, to be changed at will."""
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def verdict_of(comparison, field):
    every = [*comparison.figures, *comparison.equals]
    return next(each for each in every if each.rule.field == field)


def changed(report, path, value):
    """Return a copy in which the field of a dotted name has another value."""
    new = copy.deepcopy(report)
    *heads, last = path.split(".")
    inner = new
    for head in heads:
        inner = inner[int(head) if head.isdecimal() else head]
    inner[last] = value
    return new


def test_figures_of_the_rules_have_a_direction_each(saved, rules):
    before = saved | {WRITE: 1.0, READ: 1.0}
    found = compare([before], [saved | {WRITE: 0.8, READ: 0.8}], rules)
    assert verdict_of(found, WRITE).outcome == "worse"
    assert verdict_of(found, READ).outcome == "improved"
    found = compare([before], [saved | {WRITE: 0.95, READ: 1.05}], rules)
    assert {each.outcome for each in found.figures} == {Outcome.SAME}
    assert len(found.figures) == 4


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("layout.ranks", 4, "another number of ranks: 2, now 4"),
        ("benchmark_name", "llama_70b", "another model: llama_8b, now llama_70b"),
        ("workload_digest", "0" * 64, "another workload"),
        ("scale", "quick", "another scale: stock, now quick"),
        ("storage.backend", "s3", "another backend: file, now s3"),
        ("storage.client", "boto3", "another backend: file, now file through boto3"),
        ("host.hostname", "elsewhere", "another machine"),
        ("page_cache.state", "not looked at", "run in another way"),
    ],
)
def test_what_cannot_be_compared_is_not(saved, rules, path, value, words):
    found = compare([saved], [changed(saved, path, value)], rules)
    assert {each.outcome for each in found.figures} == {Outcome.CANNOT_TELL}
    assert words in verdict_of(found, WRITE).reason


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("layout.files", "layout.files"),
        ("layout.optimizer_bytes", "layout.optimizer_bytes"),
        ("save_count", "save_count"),
        ("load_count", "load_count"),
        ("save_checkpoints.1.stored_bytes", "save_checkpoints.*.stored_bytes"),
        ("save_checkpoints.0.content_digest", "save_checkpoints.*.content_digest"),
        ("load_checkpoints.0.tensor_bytes", "load_checkpoints.*.tensor_bytes"),
    ],
)
def test_sizes_counts_and_contents_must_be_equal(saved, rules, path, field):
    found = compare([saved], [changed(saved, path, 7)], rules)
    assert verdict_of(found, field).outcome == "worse"
    # On another machine and backend, too; but other ranks write other files.
    elsewhere = changed(saved, "host.hostname", "elsewhere")
    elsewhere = changed(elsewhere, "storage.backend", "s3")
    found = compare([saved], [changed(elsewhere, path, 7)], rules)
    assert verdict_of(found, field).outcome == "worse"
    found = compare([saved], [changed(changed(saved, path, 7), "layout.ranks", 4)], rules)
    assert verdict_of(found, field).outcome == "cannot tell"


def test_folders_reports_and_records_are_runs(folder, saved, tmp_path):
    record = tmp_path / "runs" / "dlio_config" / "checkpoint_run.json"
    record.parent.mkdir(parents=True)
    shutil.copy(folder / "checkpoint_run.json", record)
    places = [folder, folder / "report.json", folder / "checkpoint_run.json", record, tmp_path]
    assert load_all(places) == [saved] * len(places)


def test_a_run_is_compared_by_the_command_line(folder, run_folder, cm4storage_of, capsys):
    assert cm4storage_of(["compare", str(folder), str(folder)]) == 0
    out = capsys.readouterr().out
    assert "write throughput, slowest rank" in out
    assert "0 worse" in out
    assert cm4storage_of(["compare", str(run_folder), str(folder), "--strict"]) == 5
    assert "another workload" in capsys.readouterr().out


def test_reports_of_a_newer_release_are_refused(saved, tmp_path, cm4storage_of, capsys):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(saved | {"version": 99}))
    assert cm4storage_of(["compare", str(path), str(path)]) == 1
    assert "version 99" in capsys.readouterr().err
