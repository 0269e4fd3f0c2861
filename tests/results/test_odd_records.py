"""Records that are rare: blocks between checkpoints, clocks that are set, and epochs of no time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta

import jsonschema
import pandas as pd
import pytest
import yaml

from cm4storage.report.html.page import page
from cm4storage.report.table import render
from cm4storage.results import figures, records
from cm4storage.results.report_files import write_report_files
from cm4storage.results.report_reading import SCHEMA_FILE
from cm4storage.results.summary import write_dlio_files
from cm4storage.workload.resolve import Request, resolve

NOON = datetime(2026, 10, 25, 12)  # noqa: DTZ001 - records have local times
STEP_S, OVERHEAD_S, STALL_S = 0.3, 0.004, 1.0


@pytest.fixture(scope="session")
def record(run_folder):
    """Return the record of a run as text."""
    return (run_folder / "run.json").read_text(encoding="utf-8")


@pytest.fixture
def written(record, tmp_path):
    """Return a function that writes all files of a changed record, and returns their folder."""

    def write(change):
        document = json.loads(record)
        change(document)
        (tmp_path / "run.json").write_text(json.dumps(document), encoding="utf-8")
        run = figures.of_run(records.load(tmp_path))
        report = write_report_files(run, tmp_path)
        write_dlio_files(run, tmp_path)
        (tmp_path / "table.txt").write_text(render(report, "folder", "command"), encoding="utf-8")
        (tmp_path / "page.html").write_text(page(run, "command"), encoding="utf-8")
        return tmp_path

    return write


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"), parse_constant=pytest.fail)


def stamp(after_s):
    return (NOON + timedelta(seconds=after_s)).isoformat(timespec="microseconds")


def with_checkpoints(document, set_by_s=0.0):
    """Give the first epoch a checkpoint after its second step, and one after its last.

    While the first is written, the clock is set by some seconds.
    """
    epoch = document["epochs"][0]
    steps = len(epoch["compute_s"])
    half_s = steps / 2 * STEP_S + OVERHEAD_S / 2
    length_s = 2 * (half_s + STALL_S)
    stalls_s = [STALL_S if number in (1, steps - 1) else 0.0 for number in range(steps)]
    epoch |= {
        "wait_s": [0.1] * steps, "compute_s": [0.2] * steps, "plugins_s": stalls_s,
        "start": stamp(0), "end": stamp(length_s + set_by_s), "duration_s": length_s,
    }  # fmt: skip
    starts_s = (half_s + set_by_s, 2 * half_s + STALL_S + set_by_s)
    document["checkpoints"] = [
        {
            "step": step, "epoch": 1, "start": stamp(start_s), "end": stamp(start_s + STALL_S),
            "stall_s": STALL_S, "write_s": STALL_S, "size_bytes": 10, "stored_bytes": 10,
            "key": f"c{step}",
        }
        for step, start_s in zip((2, steps), starts_s, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("set_by_s", [0.0, -3600.0, 3600.0])
def test_a_clock_that_is_set_changes_no_block(written, set_by_s):
    folder = written(lambda document: with_checkpoints(document, set_by_s))
    stats = read(folder, "0_per_epoch_stats.json")["1"]
    assert [stats[block]["duration"] for block in ("block1", "block2")] == ["0.60", "0.60"]
    output = read(folder, "0_output.json")["1"]
    for block in ("block1", "block2"):  # of two steps, one of which counts
        least_s, most_s = STEP_S, STEP_S + OVERHEAD_S
        assert 0.2 / most_s * 100 <= output["au"][block] <= 0.2 / least_s * 100 + 1e-9
        assert 2 / most_s <= output["throughput"][block] <= 2 / least_s + 1e-9


def test_a_block_ends_where_the_checkpoint_after_it_begins(written):
    stats = read(written(with_checkpoints), "0_per_epoch_stats.json")["1"]
    for number in (1, 2):
        assert stats[f"block{number}"]["end"] == stats[f"save_ckpt{number}"]["start"]


def of_no_time(document):
    for epoch in document["epochs"] + document["evaluations"]:
        steps = len(epoch["compute_s"])
        epoch |= {"duration_s": 0.0, "wait_s": [0.0] * steps, "compute_s": [0.0] * steps}


def of_no_time_but_checkpoints(document):
    with_checkpoints(document)
    epoch = document["epochs"][0]
    steps = len(epoch["compute_s"])
    epoch |= {"duration_s": 2.0, "wait_s": [0.0] * steps, "compute_s": [0.0] * steps}


def evaluated_in_no_time(document):
    document["evaluations"] = json.loads(json.dumps(document["epochs"]))
    of_no_time(document)


@pytest.mark.parametrize("change", [of_no_time, of_no_time_but_checkpoints, evaluated_in_no_time])
def test_what_took_no_time_has_no_rates(written, change):
    folder = written(change)
    report = read(folder, "report.json")
    jsonschema.validate(report, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert report["epochs"][0]["read_mib_per_s"] is None
    assert report["epochs"][0]["samples_per_s"] is None
    assert set(read(folder, "0_output.json")["1"]["throughput"].values()) == {0.0}  # as DLIO
    assert "evaluation " not in (folder / "table.txt").read_text(encoding="utf-8")


def test_a_record_without_epochs_has_a_table(written):
    folder = written(lambda document: document.update(epochs=[]))
    table = (folder / "table.txt").read_text(encoding="utf-8")
    assert "accelerator utilization   not measured" in table
    assert re.search(r"bytes read +0 B in 0 epochs, 0 us", table)
    assert list(pd.read_csv(folder / "report.csv")["row"]) == ["run"]


def test_the_table_says_why_a_checkpoint_failed_and_a_run_is_not_comparable(written):
    def change(document):
        with_checkpoints(document)
        document["checkpoints"][1] |= {"key": "", "error": "cannot write c4, no space left"}

    table = pd.read_csv(written(change) / "report.csv").set_index("row")
    failed = table.loc["checkpoint", "error"]
    assert failed.isna().tolist() == [True, False]
    assert failed.iloc[1] == "cannot write c4, no space left"
    assert table.loc["run", "not_comparable_because"] == "quick scale"


def test_secrets_of_urls_are_in_nothing_that_is_sent_on(written):
    key, url = "storage.storage_options.endpoint_url", "http://me:planted-secret@host/"

    def change(document):
        # Releases before this one took such a URL.
        resolved = resolve(Request("unet3d_h100"))
        storage = replace(resolved.workload.storage, endpoint_url=url)
        resolved = replace(resolved, workload=replace(resolved.workload, storage=storage))
        more = {"overrides": {key: url}, "notes": [f"see {url}"]}
        document["workload"] = resolved.to_document() | more

    folder = written(change)
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.*")}
    assert {name for name, text in texts.items() if "planted-secret" in text} == {"run.json"}
    config = yaml.safe_load(texts["config.yaml"])["workload"]["storage"]["storage_options"]
    assert config["endpoint_url"] == "http://***@host/"
    assert f"++workload.{key}=http://***@host/" in yaml.safe_load(texts["overrides.yaml"])
    assert "http://***@host/" in texts["page.html"]


# dlio.log


def course(folder):
    """Return the words of each line of the log, without time and figures."""
    lines = (folder / "dlio.log").read_text(encoding="utf-8").splitlines()
    return [re.sub(r"(: | - )[\d.]+.*", "", line.split(" ", 2)[2]) for line in lines]


def test_the_log_has_all_blocks_and_evaluations(written):
    def change(document):
        with_checkpoints(document)
        length_s = document["epochs"][0]["duration_s"]
        start, end = stamp(length_s + 1), stamp(length_s + 2)
        evaluation = document["epochs"][0] | {"start": start, "end": end, "plugins_s": None}
        document["evaluations"] = [evaluation]

    training, evaluation = "Epoch 1 - Block {} [Training] ", "Epoch 1 [Eval] "
    figures_of = ("Accelerator Utilization [AU] (%)", "Throughput (samples/second)")
    expected = ["Starting epoch 1"]
    for number, step in ((1, 2), (2, 4)):
        expected += [f"Starting block {number}", f"Ending block {number}"]
        expected += [training.format(number) + each for each in figures_of]
        begun = f"Starting checkpoint {number} after total step {step} for epoch 1"
        expected += [begun, f"Ending checkpoint {number} for epoch 1"]
    expected += ["Ending epoch 1", "Starting eval", "Ending eval"]
    expected += [evaluation + each for each in figures_of]
    lines = course(written(change))
    begin = lines.index("Starting epoch 1")
    assert lines[begin : lines.index("Starting epoch 2")] == expected


def test_the_log_ends_with_the_means_of_the_summary(written):
    def change(document):
        with_checkpoints(document)
        document["evaluations"] = json.loads(json.dumps(document["epochs"]))

    folder = written(change)
    lines = (folder / "dlio.log").read_text(encoding="utf-8").splitlines()
    said = dict(re.findall(r"\[METRIC\] \S+ (.*): (\S+)", "\n".join(lines)))
    metric = read(folder, "summary.json")["metric"]
    for phase, title, io in (("train", "Training", " I/O"), ("eval", "Eval", "")):
        for name, key in (
            (" Accelerator Utilization [AU] (%)", "au_mean_percentage"),
            (" Throughput (samples/second)", "throughput_mean_samples_per_second"),
            (f"{io} Throughput (MB/second)", "io_mean_MB_per_second"),
        ):
            assert float(said[title + name]) == pytest.approx(metric[f"{phase}_{key}"], rel=1e-3)
        met = f"{phase}_au_meet_expectation"
        assert said[met] == metric[met]
