"""``report.html``: what is on the page, and that it is well formed, whole and safe."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import FILE_SYSTEM, HOST, made_record
from markup import headings, parse

from cm4storage.report.html.page import page, write_page
from cm4storage.report.html.steps import grouped, steps_of
from cm4storage.results import environment
from cm4storage.results.figures import of_run
from cm4storage.results.histogram import Histogram, bounds_s
from cm4storage.results.records import CheckpointRecord, load
from cm4storage.results.report_files import build_report

COMMAND = "cm run script --tags=run,dlio,mlperf,_s3"
ONE_STEP = made_record(1, 1)


def page_of(record, command=COMMAND):
    return page(of_run(record), command)


@pytest.fixture(scope="module")
def record():
    """Return the record of three epochs of a stock workload."""
    return made_record(3, 500)


@pytest.fixture(scope="module")
def text(record):
    return page_of(record)


@pytest.fixture(scope="module")
def tree(text):
    return parse(text)


def rows_of(table):
    [body] = table.all("tbody")
    return [
        [cell.text() for cell in row.walk() if cell.tag in ("th", "td")] for row in body.all("tr")
    ]


def test_page_is_well_formed_and_whole(tree, text):
    assert text.startswith("<!DOCTYPE html>")
    [html] = tree.all("html")
    assert html.attributes["lang"] == "en"
    ids = [each.attributes["id"] for each in tree.walk() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    wanted = [link.attributes["href"][1:] for link in tree.all("a")]
    wanted += [each.attributes["aria-labelledby"] for each in tree.walk()
               if "aria-labelledby" in each.attributes]  # fmt: skip
    assert set(wanted) <= set(ids)


def test_nothing_is_fetched(tree, text):
    assert {link.attributes["href"] for link in tree.all("link")} == {"data:,"}
    assert [each for each in tree.walk() if "src" in each.attributes] == []
    assert re.search(r"https?://|url\(|@import", text) is None
    [policy] = tree.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy.attributes["content"]


def test_headings_are_in_order(tree):
    levels = [int(each.tag[1]) for each in headings(tree)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_parts_come_with_the_verdict_first(tree):
    found = [each.text() for each in headings(tree) if each.tag == "h2"]
    assert found == [
        "The storage keeps the accelerator busy", "Conditions of a valid result", "Over time",
        "Latencies by stage", "Epochs and ranks", "Configuration", "Environment",
        "Warnings and notes", "How to reproduce",
    ]  # fmt: skip


def test_figures_are_those_of_the_report(tree, record):
    report = build_report(of_run(record))
    said = tree.text()
    assert f"{report['au_mean_percent']:.1f}" in said
    assert f"{report['throughput_samples_per_sec']:.1f} samples per second" in said
    [table] = [each for each in tree.all("table") if "Percentiles by stage" in each.text()]
    [waits] = [row for row in rows_of(table) if row[0] == "Wait for a batch"]
    assert waits[2].replace("\xa0", " ") == f"{report['p50_latency_ms']:.1f} ms"


def test_every_plot_says_in_words_what_it_shows(tree):
    figures = tree.all("figure")
    assert [each.attributes["id"] for each in figures] == [
        "throughput", "shares", "durations",
        "latency-wait", "latency-io", "latency-decode", "latency-compute",
    ]  # fmt: skip
    for figure in figures:
        [drawing] = figure.all("svg", role="img")
        assert len(drawing.attributes["aria-label"]) > 40
        assert len(figure.all("title")) >= 2


def test_tables_name_their_columns(tree):
    for table in tree.all("table"):
        [head] = table.all("thead")
        assert all(cell.attributes["scope"] == "col" for cell in head.all("th"))
        columns = len(head.all("th"))
        assert {len(row) for row in rows_of(table)} == {columns}


def facts_of(tree):
    """Return what the lists of facts say, by name."""
    lists = tree.all("dl", class_="facts")
    names, values = (
        [each.text() for every in lists for each in every.all(tag)] for tag in ("dt", "dd")
    )
    spaced = [value.replace("\xa0", " ") for value in values]
    return dict(zip(names, spaced, strict=True))


def test_environment_says_what_was_below_and_around():
    local = ONE_STEP.environment | {"file_system": FILE_SYSTEM}
    said = facts_of(parse(page_of(replace(ONE_STEP, environment=local))))
    assert said["kernel"] == "6.12.41+deb13-amd64"
    assert said["network"] == "eth1 25,000 Mbit/s, eth0"
    assert said["source code"].startswith("15930703e61fca37a76d26ba8f55ed3812789bea, changed")
    assert (said["type"], said["mounted at"]) == ("xfs", "/data")
    assert said["mount options"] == "rw, noatime, noquota"
    device = "md0, 7.0 TiB, not rotational, read-ahead 128.0 KiB, made of nvme0n1 and nvme1n1"
    assert said["block device"] == device


def test_environment_of_this_machine(tmp_path):
    found = environment.of_run("command", tmp_path)
    said = facts_of(parse(page_of(replace(ONE_STEP, environment=found))))
    assert said["kernel"] == os.uname().release
    assert said["type"] == found["file_system"]["type"]


def test_environment_of_an_older_record_and_of_a_service():
    host = {name: value for name, value in HOST.items() if name not in ("kernel", "networks")}
    older = {"host": host, "command": "cm4storage run"}
    service = older | {"file_system": None, "git": None}
    for each in (older, service):
        said = facts_of(parse(page_of(replace(ONE_STEP, environment=each))))
        assert {"kernel", "network", "source code", "type", "block device"} & set(said) == set()


def test_a_host_of_many_networks_names_some():
    networks = [{"name": f"veth{number}", "speed_mbit_per_s": None} for number in range(300)]
    found = ONE_STEP.environment | {"host": HOST | {"networks": networks}}
    said = facts_of(parse(page_of(replace(ONE_STEP, environment=found))))
    assert said["network"].endswith("veth7, 292 more")


@pytest.mark.parametrize(
    ("wait_s", "state", "headline"),
    [
        (0.004, "reached", "The storage keeps the accelerator busy"),
        (0.4, "missed", "The storage does not keep the accelerator busy"),
    ],
)
def test_verdict(wait_s, state, headline):
    tree = parse(page_of(made_record(2, 40, wait_s=wait_s)))
    [section] = tree.all("section", class_=f"verdict {state}")
    assert [each.text() for each in section.all("h2")] == [headline]


def test_run_without_a_measured_step_has_no_verdict():
    tree = parse(page_of(made_record(1, 1)))
    assert "The utilization was not measured" in tree.text()
    assert "One epoch only" in tree.text()


def test_record_without_a_step_has_no_plots_over_time():
    tree = parse(page_of(replace(made_record(1, 1), epochs=[], stages={})))
    assert tree.all("figure") == []


def enough(**changes):
    """Return the record of a run that meets all conditions, with `changes`."""
    host = HOST | {"memory_bytes": 2**30}
    environment = {"host": host, "command": COMMAND}
    return made_record(2, 500, params="dataset.num_files_train=3500", environment=environment,
                       **changes)  # fmt: skip


def test_valid_and_comparable_result_says_so():
    [section] = parse(page_of(enough())).all("section", class_="verdict reached")
    assert [each.text() for each in section.all("dt")] == ["Valid", "Comparable"]


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (made_record(2, 40), "length of an epoch"),
        (made_record(2, 500), "size of the data set"),
        (made_record(2, 500, wait_s=0.4), "accelerator utilization"),
    ],
    ids=["short", "small", "slow"],
)
def test_missed_condition_is_named(record, name):
    tree = parse(page_of(record))
    missed = [cell.text() for cell in tree.all("th", class_="bad")]
    assert f"not met: {name}" in missed
    assert "Not valid" in [each.text() for each in tree.all("dt")]


def test_skipped_files_make_a_run_invalid_and_are_named():
    record = enough(faults=["img_7.npz is cut\nat byte 99"])
    record = replace(record, epochs=[replace(each, skipped_files=2) for each in record.epochs])
    tree = parse(page_of(record))
    assert "not met: files left out" in tree.text()
    [fault] = tree.all("span", class_="fault")
    assert fault.text() == "img_7.npz is cut\nat byte 99"
    assert "4 files skipped" in tree.text()


def test_warnings_say_what_weakens_the_figures():
    record = made_record(3, 40, retries=3)
    epochs = [replace(each, resident_before=0.8, resident_after=1.0) for each in record.epochs]
    said = parse(page_of(replace(record, epochs=epochs))).text().replace("\xa0", " ")
    assert "80 % of the data set was in the page cache" in said
    assert "3 requests to the storage had to be sent again" in said
    assert "80 %, 100 %" in said


def test_epoch_below_the_threshold_is_named_where_the_mean_reaches_it():
    record = made_record(6, 40)
    slow = made_record(1, 40, wait_s=0.06).epochs[0]
    tree = parse(page_of(replace(record, epochs=[*record.epochs[:5], replace(slow, number=6)])))
    assert "The mean reaches the threshold; epoch 6 did not." in tree.text()


def test_configuration_shows_what_differs_from_stock():
    tree = parse(page_of(made_record(2, 5, params="reader.read_threads=9 train.seed=4")))
    [table] = [each for each in tree.all("table") if "Keys that differ" in each.text()]
    assert rows_of(table) == [["reader.read_threads", "9", "4"], ["train.seed", "4", "123"]]


def test_workload_without_a_stock_one_shows_what_was_changed(tmp_path):
    record = made_record(2, 5, params="model.name=own reader.read_threads=9")
    workload = record.workload | {"source": str(tmp_path / "own.yaml")}
    tree = parse(page_of(replace(record, workload=workload)))
    assert "there is no stock workload of its name" in tree.text()
    [table] = [each for each in tree.all("table") if "Keys that differ" in each.text()]
    assert rows_of(table) == [["model.name", "own"], ["reader.read_threads", "9"]]


def checkpoint(step, epoch, at, error=""):
    """Return the record of a checkpoint that began at a moment."""
    key = "" if error else f"run/step_{step:08}.ckpt"
    return CheckpointRecord(step, epoch, at, at, 2.5, 8.0, 3 * 2**30, 2 * 2**30, key, error)


def test_checkpoints_have_a_plot_and_a_table():
    record = made_record(2, 40, plugins={"checkpoint": {"after_step": 5.0}})
    start, end = record.epochs[0].start, record.epochs[0].end
    written = [checkpoint(20, 1, start), checkpoint(60, 2, end, "disk is full")]
    tree = parse(page_of(replace(record, checkpoints=written)))
    assert len(tree.of_id("checkpoints").all("title")) == 2
    [table] = [each for each in tree.all("table") if "Stood still" in each.text()]
    first, second = ([cell.replace("\xa0", " ") for cell in row] for row in rows_of(table))
    assert first[:2] == ["20", "1"]
    assert first[3:9] == ["3.0 GiB", "2.0 GiB", "8.0 s", "256", "2.5 s", "run/step_00000020.ckpt"]
    assert second[-1] == "disk is full"
    assert "not met: failed checkpoints" in tree.text()
    assert "checkpoint.after_step" in tree.text()


def test_time_of_plugins_lies_between_the_steps():
    record = made_record(1, 4)
    [epoch] = record.epochs
    stalled = replace(epoch, plugins_s=[0.0, 30.0, 0.0, 0.0], duration_s=epoch.duration_s + 30)
    tree = parse(page_of(replace(record, epochs=[stalled])))
    spots = [each.text() for each in tree.of_id("shares").all("title")]
    computing = [float(re.search(r"computing ([\d.]+)", text).group(1)) for text in spots]
    assert computing[1] < 2
    assert min(computing[2:]) > 50


def test_run_without_checkpoints_has_no_part_for_them(tree):
    assert "Checkpoints" not in [each.text() for each in headings(tree)]
    assert "failed checkpoints" not in tree.text()


def test_evaluations_have_a_table_and_a_place_in_the_plots():
    record = made_record(2, 40)
    evaluation = replace(made_record(1, 8).epochs[0], start=record.epochs[0].end)
    tree = parse(page_of(replace(record, evaluations=[evaluation])))
    assert tree.of_id("evaluations").text() == "Evaluations"
    assert tree.of_id("throughput").all("path", class_="evaluation") != []


def command_of(tree):
    """Return the command that runs it again."""
    return tree.all("pre")[0].text()


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}\x00\x1b"


def test_what_users_name_stays_text():
    bad_name = "<script>alert(1)<img src=x onerror=alert(2)>"
    params = f"model.name={shlex.quote(bad_name)} model.type={shlex.quote(HOSTILE[:-2])}"
    record = made_record(
        2, 5, params=params, faults=[HOSTILE],
        data_set={"uri": HOSTILE, "backend": HOSTILE, "manifest": None},
        environment={"host": HOST | {"hostname": HOSTILE}, "command": HOSTILE},
    )  # fmt: skip
    text = page_of(record, HOSTILE)
    tree = parse(text)
    assert len(tree.all("script")) == 1
    assert tree.all("img") == []
    assert [e for e in tree.walk() if any(a.startswith("on") for a in e.attributes)] == []
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert command_of(tree) == shown
    assert bad_name in tree.all("h1")[0].text()
    assert "\x00" not in text


def test_name_that_is_no_text_can_be_written(tmp_path):
    name = b"/data/\xff".decode(errors="surrogateescape")
    record = made_record(1, 5, data_set={"uri": name, "backend": "file", "manifest": None})
    path = write_page(of_run(record), tmp_path, COMMAND)
    assert "/data/\\udcff" in path.read_text(encoding="utf-8")


def test_same_record_gives_the_same_bytes(tmp_path, record, text):
    record.save(tmp_path)
    assert page_of(load(tmp_path)) == text == page_of(made_record(3, 500))
    path = write_page(of_run(record), tmp_path, COMMAND)
    assert path.read_text(encoding="utf-8") == text


def test_run_of_three_epochs_is_under_a_megabyte(text):
    assert len(text.encode()) < 1_000_000


@pytest.mark.parametrize(("epochs", "steps"), [(5, 200_000), (2_000, 4)])
def test_long_run_stays_under_three_megabytes(epochs, steps):
    assert len(page_of(made_record(epochs, steps)).encode()) < 3_000_000


def test_plots_have_the_extremes_of_a_million_steps():
    record = made_record(1, 100_000)
    record.epochs[0].wait_s[77_777] = 98.0
    tree = parse(page_of(record))
    spots = [each.text() for each in tree.of_id("durations").all("title")]
    assert len(spots) <= 361
    [found] = [text for text in spots if "98.0\xa0s" in text]
    first, last = re.match(r"epoch 1, steps ([\d,]+) to ([\d,]+)", found).groups()
    assert int(first.replace(",", "")) <= 77_778 <= int(last.replace(",", ""))


def test_few_steps_are_shown_one_by_one():
    tree = parse(page_of(made_record(2, 5)))
    spots = [each.text().splitlines()[0] for each in tree.of_id("shares").all("title")]
    assert spots == [f"epoch {epoch}, step {step}" for epoch in (1, 2) for step in range(1, 6)]


@settings(max_examples=30, deadline=None)  # nothing is judged by a time
@given(st.lists(st.integers(0, 900), max_size=12), st.integers(1, 400))
def test_groups_have_every_step_once(sizes, most):
    epochs = [
        replace(ONE_STEP.epochs[0], number=n, wait_s=[0.1] * size, compute_s=[0.2] * size)
        for n, size in enumerate(sizes, 1)
    ]
    steps = steps_of(replace(ONE_STEP, epochs=epochs))
    groups = grouped(steps, most)
    assert steps.count == sum(sizes)
    assert groups.sizes.sum() == steps.count
    assert (groups.sizes > 0).all()
    assert len(groups.first) <= most + len(sizes)
    assert groups.names() == [] or groups.names()[0].startswith("epoch")


def test_bars_of_a_latency_have_all_that_was_counted():
    histogram = Histogram()
    for value in (1e-6, 3e-6, 3.01e-6, 0.5, 40.0):
        histogram.add_many(value, 10)
    tree = parse(page_of(made_record(1, 5, stages={"io": histogram})))
    spots = [each.text() for each in tree.of_id("latency-io").all("title")]
    assert sum(int(re.search(r"(\d+) of 50", text).group(1)) for text in spots) == 50


def test_stage_that_took_no_time_is_in_the_table_alone():
    histogram = Histogram()
    histogram.add_many(0.0, 10)
    tree = parse(page_of(made_record(1, 5, stages={"preprocess": histogram})))
    [table] = [each for each in tree.all("table") if "Percentiles by stage" in each.text()]
    assert ["Preprocess a sample", "10"] in [row[:2] for row in rows_of(table)]
    assert "latency-preprocess" not in {each.attributes["id"] for each in tree.all("figure")}


def test_bounds_hold_every_value_of_a_bin():
    histogram = Histogram()
    values = [1.5e-7 * 1.37**power for power in range(60)]
    for value in values:
        histogram.add(value)
    edges = sorted(map(bounds_s, histogram.bins))
    for value in values:
        assert any(low <= value < high for low, high in edges)
    assert all(high / low < 1.04 for low, high in edges)
    assert bounds_s(-(10**6)) == (0.0, 0.0)


def test_command_writes_the_page_and_tells_its_path(tmp_path, capsys):
    from cm4storage.cli import main

    made_record(2, 5).save(tmp_path)
    result = tmp_path / "result.json"
    code = main(["report", str(tmp_path), "--rerun_command=again", f"--result_file={result}"])
    assert code == 0
    path = tmp_path / "report.html"
    assert f"page      {path}" in capsys.readouterr().out
    assert json.loads(result.read_text())["report_html"] == str(path)
    assert command_of(parse(path.read_text(encoding="utf-8"))) == "again"
