"""A sweep runs each point once, goes on where it was stopped, and leaves a table and a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import pandas as pd
import pytest

SMALL = (
    "dataset.num_files_train=8 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.epochs=1"
)
KEYS = ["reader.read_threads", "reader.prefetch_size"]
AXES = ["--sweep", "reader.read_threads=1 2", "--sweep", "reader.prefetch_size=2 4"]
SLOW = f"--params={SMALL} train.computation_time=0.04"


class Sweeps:
    """Runs ``cm4storage sweep`` in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, *args):
        return subprocess.Popen(
            [sys.executable, "-m", "cm4storage", "sweep", "--data_dir=data", *args],
            cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ,
        )  # fmt: skip

    def run(self, *args):
        process = self.start(*args)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def finished(self):
        """Return when each finished point was written, by its key."""
        return {
            path.parent.name: path.stat().st_mtime_ns
            for path in self.folder.glob("results/sweep/*/points/[0-9a-f]*/report.json")
        }

    def unfinished(self):
        return list(self.folder.glob("results/sweep/*/points/.unfinished-*"))

    def stop_with(self, number, *args, after):
        """Start a sweep, send it a signal while a point runs, and return its exit code."""
        process = self.start(*args)
        deadline = time.monotonic() + 60
        while len(self.finished()) < after or not self.unfinished():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return a sweep of 8 points, interrupted, killed and brought to its end."""
    sweeps = Sweeps(tmp_path_factory.mktemp("sweep"))
    args = (*AXES, "--repeat=2", SLOW)
    sweeps.interrupted = sweeps.stop_with(signal.SIGINT, *args, after=2)
    sweeps.after_interrupt = sweeps.finished()
    sweeps.killed = sweeps.stop_with(signal.SIGKILL, *args, after=len(sweeps.after_interrupt) + 2)
    sweeps.after_kill = sweeps.finished()
    sweeps.ended = sweeps.run(*args)
    return sweeps


def test_no_finished_point_runs_twice_and_no_half_point_counts(stopped):
    code, output = stopped.interrupted
    assert code == 130
    assert "points finished; the same command goes on" in output
    assert stopped.killed[0] == -signal.SIGKILL
    done = stopped.finished()
    assert len(done) == 8
    assert 2 <= len(stopped.after_interrupt) < len(stopped.after_kill) < 8
    for before in (stopped.after_interrupt, stopped.after_kill):
        assert {key: done[key] for key in before} == before
    code, output = stopped.ended
    assert code == 0, output
    assert output.count(": found") == len(stopped.after_kill)
    assert "8 of 8 points finished" in output
    assert stopped.unfinished() == []


def test_the_table_has_a_row_for_each_combination(stopped):
    _, output = stopped.ended
    lines = output.splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith(KEYS[0]))
    rows = [line.split()[:3] for line in lines[head + 1 : head + 5]]
    assert rows == [["1", "2", "2"], ["1", "4", "2"], ["2", "2", "2"], ["2", "4", "2"]]


@pytest.fixture
def results(stopped):
    """Return the folder of the sweep's own files."""
    [page] = stopped.folder.glob("results/sweep/unet3d/*/sweep.html")
    return page.parent


def test_the_csv_has_a_row_for_each_run(results, stopped):
    table = pd.read_csv(results / "sweep.csv")
    assert sorted(map(tuple, table[[*KEYS, "repeat"]].to_numpy().tolist())) == [
        (threads, size, run) for threads in (1, 2) for size in (2, 4) for run in (1, 2)
    ]
    assert set(table["point"]) == set(stopped.finished())
    assert (table["total_samples"] == 8).all()
    records = json.loads((results / "cm-result.json").read_text(encoding="utf-8"))
    assert {record["uid"] for record in records} == set(stopped.finished())


class Page(HTMLParser):
    """Counts what a page has."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(results):
    text = (results / "sweep.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == []
    assert page.tags.count("tr") == 5
    assert "8 of 8 points are finished" in text
    assert "http" not in text


def test_a_dry_run_lists_the_points_and_runs_none(stopped):
    code, output = stopped.run(*AXES, "--repeat=3", SLOW, "--dry_run")
    assert code == 0
    assert output.count("finished") == 8
    assert output.splitlines()[-1] == "12 points, 4 to run"
    assert len(stopped.finished()) == 8


def test_programs_get_json_and_nothing_else(stopped):
    command = [sys.executable, "-m", "cm4storage", "sweep", "--data_dir=data", *AXES]
    for more, key in ((["--dry_run"], "is_finished"), ([], "report")):
        words = [*command, "--repeat=2", SLOW, "--out=json", *more]
        done = subprocess.run(words, cwd=stopped.folder, capture_output=True, check=True)
        points = json.loads(done.stdout)["points"]
        assert [str(point["values"][KEYS[0]]) for point in points].count("1") == 4
        assert all(point[key] for point in points)


def test_two_sweeps_at_a_time_run_each_point_once(tmp_path):
    sweeps = Sweeps(tmp_path)
    args = ("--sweep=reader.read_threads=1 2", f"--params={SMALL} train.computation_time=0.1")
    both = [sweeps.start(*args) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum(output.count(": found") for output in outputs) == 2
    assert len(sweeps.finished()) == 2


@pytest.mark.parametrize(
    ("sweep", "code", "says"),
    [
        ("reader.read_threads=1 many", 1, "reader.read_threads"),
        ("reader.read_thread=1 2", 1, "did you mean reader.read_threads"),
        ("1 2", 2, "'1' is no KEY=VALUE"),
        ("reader.read_threads=", 2, "reader.read_threads has no value"),
        ("reader.read_threads=1 reader.read_threads=2", 2, "reader.read_threads stands twice"),
    ],
)
def test_a_bad_point_stops_the_sweep_before_any_is_run(
    cm4storage_of, tmp_path, monkeypatch, capsys, sweep, code, says
):
    monkeypatch.chdir(tmp_path)
    assert cm4storage_of(["sweep", "--data_dir=data", f"--sweep={sweep}"]) == code
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def points_of(cm4storage_of, tmp_path, monkeypatch):
    """Return a function from the words of a sweep to its points."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        assert cm4storage_of(["sweep", "--data_dir=data", "-q", *args]) == 0
        [path] = tmp_path.glob("results/sweep/*/*/sweep.json")
        return json.loads(path.read_text())["points"]

    return run


@pytest.fixture
def reports_of(points_of):
    """Return a function from the words of a sweep to the reports of its points."""
    return lambda *args: [point["report"] for point in points_of(*args)]


def test_each_point_has_the_plugins_of_its_workload(reports_of, tmp_path):
    asked = "model.model_size_bytes=10000 checkpoint.steps_between_checkpoints=2"
    params = f"--params={SMALL} train.computation_time=0.001 {asked}"
    reports = reports_of("--sweep=workflow.checkpoint=true false", params)
    assert [report["settings"]["workflow.checkpoint"] for report in reports] == [True, False]
    assert [report["checkpoint_written"] for report in reports] == [2, 0]
    assert [list(report["plugins"]) for report in reports] == [["checkpoint"], []]
    [path] = tmp_path.glob("results/sweep/*/*/sweep.csv")
    table = pd.read_csv(path)
    assert table["checkpoint_written"].tolist() == [2, 0]
    assert table["checkpoint_stall_max_s"].notna().tolist() == [True, False]


def test_a_plugin_that_cannot_be_made_stops_the_sweep_before_any_point_is_run(
    cm4storage_of, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    args = ["--data_dir=data", "--sweep=plugins=[] [no.such.One]", f"--params={SMALL}"]
    assert cm4storage_of(["sweep", *args]) == 1
    captured = capsys.readouterr()
    assert "'no.such.One' cannot be loaded" in captured.err
    assert "point 1" not in captured.err


DAMAGES = {
    "cut": lambda report: report.write_bytes(report.read_bytes()[:100]),
    "no report": lambda report: report.write_text("[1]"),
    "nothing of it": lambda report: report.write_text(
        '{"schema": "cm4storage.report", "version": 2}'
    ),
    "gone": lambda report: report.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_point_whose_report_is_damaged_is_run_again(reports_of, tmp_path, damage):
    args = ["--sweep=reader.read_threads=1 2", f"--params={SMALL} train.computation_time=0"]
    first = reports_of(*args)
    damaged, whole = sorted(tmp_path.glob("results/sweep/unet3d/points/[0-9a-f]*/report.json"))
    before, kept = damaged.parent.stat().st_ino, whole.stat().st_ino
    damage(damaged)
    again = reports_of(*args)
    assert len(first) == len(again) == 2
    assert damaged.parent.stat().st_ino != before
    assert whole.stat().st_ino == kept
    assert json.loads(damaged.read_text())["total_samples"] == 8
    [aside] = damaged.parents[1].glob(f".damaged-{damaged.parent.name}-*/*")
    assert aside.stat().st_ino == before


def test_values_have_the_types_of_the_workload(points_of, tmp_path):
    sweep = "--sweep=dataset.record_length=5e3 6000 reader.odirect=false train.computation_time=0"
    values = [point["values"] for point in points_of(sweep, f"--params={SMALL}")]
    lengths = [5000, 6000]
    assert [each["dataset.record_length"] for each in values] == lengths
    assert {type(each["dataset.record_length"]) for each in values} <= {int, float}
    assert [each["reader.odirect"] for each in values] == [False, False]
    [path] = tmp_path.glob("results/sweep/*/*/cm-result.json")
    records = json.loads(path.read_text(encoding="utf-8"))
    assert [record["dataset.record_length"] for record in records] == lengths
    assert [record["reader.odirect"] for record in records] == [False, False]
