"""Plugins that are called in the course of a run: order, numbers, errors, and whose time it is."""

from __future__ import annotations

import re
import sys
import time

import pytest

import cm4storage
from cm4storage.core.errors import StorageFault, UserError

HOOKS = ("initialize", "before_epoch", "before_step", "after_step", "after_epoch", "finalize")
THREE_STEPS = {
    "dataset.num_files_train": 6,
    "dataset.record_length_bytes": 5000,
    "dataset.record_length_bytes_stdev": 0,
    "dataset.record_length_bytes_resize": 0,
    "reader.batch_size": 2,
    "train.computation_time": 0.001,
    "train.epochs": 2,
}


def load(**more):
    overrides = THREE_STEPS | {name.replace("__", "."): value for name, value in more.items()}
    return cm4storage.load_workload("unet3d_h100", overrides)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Return where one data set serves all runs of this file."""
    return tmp_path_factory.mktemp("lifecycle") / "data"


class Diary(cm4storage.Plugin):
    """Writes down each call; raises what it is told to in one of them."""

    def __init__(self, name="diary", fails_in="", error=None, pages=None):
        self.name = name
        self.fails_in, self.error = fails_in, error
        self.pages = [] if pages is None else pages

    def _note(self, hook, number=None):
        self.pages.append((self.name, hook, number))
        if hook == self.fails_in:
            raise self.error

    def initialize(self, context=None):
        self.context = context
        self._note("initialize")

    def before_epoch(self, epoch):
        self._note("before_epoch", epoch)

    def before_step(self, step):
        self._note("before_step", step)

    def after_step(self, step, state=None):
        assert state is None
        self._note("after_step", step)

    def after_epoch(self, epoch, state=None):
        assert state is None
        self._note("after_epoch", epoch)

    def finalize(self):
        self._note("finalize")


def run(data_dir, *plugins, **more):
    return cm4storage.run(load(**more), data_dir=data_dir, plugins=plugins)


def test_hooks_come_in_order_and_steps_are_counted_over_all_epochs(data_dir):
    diary = Diary()
    report = run(data_dir, diary)
    calls = [(hook, number) for _, hook, number in diary.pages]
    assert calls == [
        ("initialize", None),
        ("before_epoch", 1),
        *[(hook, step) for step in (1, 2, 3) for hook in ("before_step", "after_step")],
        ("after_epoch", 1),
        ("before_epoch", 2),
        *[(hook, step) for step in (4, 5, 6) for hook in ("before_step", "after_step")],
        ("after_epoch", 2),
        ("finalize", None),
    ]
    assert diary.context.run_id.startswith("unet3d-")
    assert set(report.record.plugins["diary"]) == set(HOOKS)


def test_a_plugin_need_not_have_all_methods_nor_be_a_subclass(data_dir):
    class Counter:
        steps = 0

        def after_step(self, step, state=None):
            del state
            self.steps = step

    counter = Counter()
    report = run(data_dir, counter)
    assert counter.steps == 6
    assert list(report.record.plugins) == ["Counter"]
    assert report.figures.not_comparable_because[-1] == "plugin Counter was added"


class Slow(cm4storage.Plugin):
    """Takes ten times as long as a step."""

    def after_step(self, step, state=None):
        del step, state
        time.sleep(0.02)


def test_the_time_of_plugins_is_in_no_figure(data_dir):
    report = run(data_dir, Slow())
    for epoch, figures in zip(report.record.epochs, report.figures.epochs, strict=True):
        assert sum(epoch.plugins_s) >= 0.06
        assert epoch.duration_s == pytest.approx(epoch.loading_s + sum(epoch.plugins_s))
        total_s = epoch.duration_s - sum(epoch.plugins_s) - epoch.process_s[0]
        assert figures.au_fraction == pytest.approx(sum(epoch.compute_s[1:]) / total_s)
        assert max(epoch.wait_s + epoch.compute_s) < sum(epoch.plugins_s)
    assert report.record.plugins["Slow"]["after_step"] >= 0.12


def test_a_run_without_plugins_has_no_times_of_them(data_dir):
    report = cm4storage.run(load(), data_dir=data_dir)
    assert [epoch.plugins_s for epoch in report.record.epochs] == [None, None]
    assert report.record.plugins == {}


@pytest.mark.parametrize("hook", HOOKS)
def test_the_first_error_stops_the_run_with_the_plugins_name(data_dir, hook):
    pages = []
    bad = Diary("bad", hook, ValueError("no luck"), pages)
    with pytest.raises(UserError, match=f"plugin bad: ValueError in {hook}: no luck") as caught:
        run(data_dir, Diary("first", pages=pages), bad, Diary("last", pages=pages))
    assert "test_lifecycle.py, line" in caught.value.where
    finalized = {name for name, called, _ in pages if called == "finalize"}
    # Whatever began is finalized; what comes after one that could not begin never began.
    assert finalized == ({"first"} if hook == "initialize" else {"first", "bad", "last"})
    assert sum(page == ("bad", hook, page[2]) for page in pages) == 1


def test_an_error_of_ours_keeps_its_kind_and_gets_the_name(data_dir):
    fault = StorageFault("the disk is full", where="/data")
    with pytest.raises(StorageFault, match="plugin diary: the disk is full"):
        run(data_dir, Diary(fails_in="after_step", error=fault))


@pytest.mark.parametrize("error", [KeyboardInterrupt, InterruptedError])
def test_an_interrupt_passes_through_and_is_told_to_finalize(data_dir, error):
    diary, other = Diary(fails_in="before_step", error=error()), Diary("other")
    with pytest.raises(error, match=r"^$"):
        run(data_dir, diary, other)
    assert other.pages[-1][1] == "finalize"
    assert other.context.interrupted.is_set()


def test_a_fault_of_the_run_finalizes_and_is_no_interrupt(data_dir):
    class Breaks:
        def __init__(self, workload):
            del workload

        def __call__(self, batch, duration_s):
            raise RuntimeError(f"no compute of {duration_s} s with {batch.shape}")

    diary = Diary()
    with pytest.raises(RuntimeError, match="no compute of"):
        run(data_dir, diary, cm4storage.Plugins(compute_step=Breaks))
    assert diary.pages[-1][1] == "finalize"
    assert not diary.context.interrupted.is_set()


def test_two_of_one_class_keep_their_own_names(data_dir):
    report = run(data_dir, Slow(), Slow(), train__epochs=1)
    assert list(report.record.plugins) == ["Slow", "Slow-2"]
    assert report.record.epochs[0].plugins_s[0] >= 0.04


TRACER = """
import cm4storage

class Tracer(cm4storage.Plugin):
    made = []

    def __init__(self, **options):
        self.options, self.steps = options, []
        Tracer.made.append(self)

    def after_step(self, step, state=None):
        self.steps.append(step)
"""


@pytest.fixture
def tracer(tmp_path, monkeypatch):
    """Return a plugin's class in an importable module of an installed package."""
    (tmp_path / "tracing.py").write_text(TRACER, encoding="utf-8")
    installed = tmp_path / "tracing-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tracing\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[cm4storage.plugins]\ntrace = tracing:Tracer\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tracing", raising=False)
    import tracing  # written above

    return tracing.Tracer


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("plugins: [tracing.Tracer]", {}),
        ("plugins: [trace]", {}),
        ("plugins:\n  - trace: {level: 3, name: x}\n", {"level": 3, "name": "x"}),
        ("plugins:\n  trace:\n    level: 3\n", {"level": 3}),
        ("plugins: {trace: null}", {}),
    ],
)
def test_a_yaml_names_plugins_and_their_options(tracer, data_dir, tmp_path, text, options):
    (tmp_path / "own.yaml").write_text(f"model: {{name: unet3d}}\n{text}\n", encoding="utf-8")
    workload = cm4storage.load_workload(tmp_path / "own.yaml", THREE_STEPS)
    report = cm4storage.run(workload, data_dir=data_dir)
    assert [made.options for made in tracer.made] == [options]
    assert tracer.made[0].steps == [1, 2, 3, 4, 5, 6]
    assert report.record.conduct["added_plugins"] == []
    assert list(report.record.plugins) == workload.workload.plugin_names


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[nowhere.Tracer]", "plugins: 'nowhere.Tracer' cannot be loaded"),
        ("[trace: {level: 3}, trace: {}]", "trace is named twice"),
        ("3", "plugins: expected names of plugins"),
        ("[[]]", "plugins: expected the name of a plugin"),
        ("{trace: 3}", "trace: expected a mapping of options"),
        ("{trace: {level: [1]}}", "option 'level' is a number, a text"),
        ("{builtins.int: {level: 1}}", "plugin builtins.int cannot be made"),
    ],
)
def test_a_wrong_plugin_is_an_error_before_anything_is_read(tmp_path, value, message):
    (tmp_path / "own.yaml").write_text(f"plugins: {value}\n", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)):
        cm4storage.run(
            cm4storage.load_workload(tmp_path / "own.yaml", THREE_STEPS), data_dir=tmp_path / "no"
        )
    assert not (tmp_path / "no").exists()


def test_attributes_that_mean_something_else_do_not_spoil_the_record(data_dir, tmp_path):
    diary = Diary()
    diary.checkpoints, diary.options = 7, {"where": tmp_path, "lr": 0.1, ("a",): 1}
    other = Diary("other")
    other.checkpoints, other.options = ["mine"], "none"
    report = cm4storage.run(load(), data_dir=data_dir, plugins=[diary, other])
    report.record.save(tmp_path)
    assert report.record.checkpoints == []
    told = report.record.conduct["plugin_options"]
    assert told == {"diary": {"where": str(tmp_path), "lr": 0.1}, "other": {}}
