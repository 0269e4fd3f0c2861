"""Verdicts of metrics: by tolerance, by spread, and where nothing can be told."""

from __future__ import annotations

import copy
import json
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import UserError
from cm4storage.results.comparing import rules as tolerances
from cm4storage.results.comparing.comparison import Outcome, compare
from cm4storage.results.comparing.reports import load_all
from cm4storage.results.comparing.samples import Samples, uncertainty

THROUGHPUT = "throughput_samples_per_sec"
ELSEWHERE = {"hostname": "elsewhere", "processor": "x86_64", "cpu_count": 64, "memory_bytes": 2**38}


def with_throughput(report, *values):
    """Return one report for each value of the throughput."""
    return [{**copy.deepcopy(report), THROUGHPUT: value} for value in values]


def verdict_of(comparison, field=THROUGHPUT):
    """Return the verdict of one field."""
    every = [*comparison.figures, *comparison.equals]
    return next(each for each in every if each.rule.field == field)


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves a report, and returns its path."""

    def save(name, report):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(report))
        return str(path)

    return save


@pytest.mark.parametrize(
    ("new", "outcome"),
    [(104.9, "same"), (95.1, "same"), (105.1, "improved"), (94.9, "worse"), (100, "same")],
)
def test_a_single_run_is_judged_by_the_tolerance(report, rules, new, outcome):
    found = compare(with_throughput(report, 100.0), with_throughput(report, new), rules)
    assert verdict_of(found).outcome == outcome


def test_less_is_better_where_the_rule_says_so(report, rules):
    slower = {**report, "io_p99_latency_ms": report["io_p99_latency_ms"] + 10}
    assert verdict_of(compare([report], [slower], rules), "io_p99_latency_ms").outcome == "worse"
    assert verdict_of(compare([slower], [report], rules), "io_p99_latency_ms").outcome == "improved"


def test_a_wide_spread_leaves_it_open(report, rules):
    before = with_throughput(report, 80.0, 120.0, 100.0)
    after = with_throughput(report, 70.0, 110.0, 90.0)
    found = verdict_of(compare(before, after, rules))
    assert found.outcome == "cannot tell"
    assert (found.baseline.count, found.candidate.count) == (3, 3)
    narrow = compare(
        with_throughput(report, 99.0, 101.0, 100.0), with_throughput(report, 89.0, 90.0), rules
    )
    assert verdict_of(narrow).outcome == "worse"


def test_without_tolerance_the_spread_decides(report, tmp_path):
    path = tmp_path / "rules.json"
    document = {
        "schema": "cm4storage.tolerance",
        "version": 1,
        "tolerance_rules": {"performance_metrics": {THROUGHPUT: {"better": "higher"}}},
    }
    path.write_text(json.dumps(document))
    rules = tolerances.load(path).chosen("standard", "file")
    one = compare(with_throughput(report, 100), with_throughput(report, 50), rules)
    assert verdict_of(one).outcome == "cannot tell"
    assert one.is_undecided
    many = with_throughput(report, 99, 100, 101)
    assert verdict_of(compare(many, with_throughput(report, 100.5), rules)).outcome == "same"
    assert verdict_of(compare(many, with_throughput(report, 50), rules)).outcome == "worse"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("host", ELSEWHERE, "another machine"),
        ("host", None, "another machine"),
        ("workload_digest", "0" * 64, "another workload"),
        ("scale", "stock", "another scale"),
        ("backend_type", "s3", "another backend"),
        ("limits", {"max_steps": 3, "max_epochs": None}, "other limits"),
        ("conduct", {"is_cold": True}, "run in another way: cold=False, now cold=True"),
        ("conduct", {"on_error": "skip"}, "on_error=stop, now on_error=skip"),
        ("conduct", {"added_plugins": ["mine"]}, "now added_plugins={'mine': {}}"),
        (
            "conduct",
            {"changed_options": {"mine": ["a"]}},
            "now changed_options={'mine': {'a': None}}",
        ),
        ("page_cache_before_percent", 0.0, "in memory before: 100 %, now 0 %"),
    ],
)
def test_what_cannot_be_compared_is_not(report, rules, field, value, words):
    report["page_cache_before_percent"] = 100.0
    found = compare([report], [{**report, field: value, THROUGHPUT: 1e9}], rules)
    assert {each.outcome for each in found.figures} == {Outcome.CANNOT_TELL}
    assert words in verdict_of(found).reason
    assert found.is_undecided


def test_an_added_plugin_is_another_one_with_other_options(report, rules):
    def with_options(**options):
        added = {"added_plugins": ["mine"], "plugin_options": {"mine": options}}
        return {**report, "conduct": added}

    def differ(one, other):
        return "conduct" in compare([one], [other], rules).differences

    assert differ(with_options(size=1), with_options(size=2))
    assert not differ(with_options(size=1, location="a"), with_options(size=1, location="b"))


@pytest.mark.parametrize("cached", [80.0, None])
def test_about_as_much_in_memory_before_is_no_difference(report, rules, cached):
    before = {**report, "page_cache_before_percent": 100.0}
    assert not compare(
        [before], [{**report, "page_cache_before_percent": cached}], rules
    ).differences


def test_memory_is_that_of_the_machine_and_not_of_its_kernel(report, rules):
    host = report["host"] | {"memory_bytes": 8 * 2**30}
    changes = {
        "": {"memory_bytes": 8 * 2**30 - 4096},
        "8.0 GiB), now": {"memory_bytes": 16 * 2**30},
        "armv7": {"processor": "armv7"},
        "memory not known": {"memory_bytes": None},
    }
    for words, change in changes.items():
        after = {**report, "host": host | change}
        found = compare([{**report, "host": host}], [after], rules).differences.get("machine", "")
        assert words in found
        assert bool(words) == bool(found)


def test_a_difference_can_be_allowed(report, rules):
    before, after = with_throughput(report, 100, 200)
    after["backend_type"], after["total_bytes"] = "s3", 1
    found = compare([before], [after], rules, across=("backend",))
    assert verdict_of(found).outcome == "improved"
    assert verdict_of(found, "total_bytes").outcome == "cannot tell"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("total_bytes", lambda r: r.update(total_bytes=r["total_bytes"] + 1)),
        ("access_order_digest", lambda r: r.update(access_order_digest="0" * 32)),
        ("access_order_sample", lambda r: r["access_order_sample"].reverse()),
        ("data_set.content_digest", lambda r: r["data_set"].update(content_digest="0")),
        ("epochs.*.steps", lambda r: r["epochs"][1].update(steps=99)),
        ("epochs.*.bytes_read", lambda r: r["epochs"].pop()),
        ("seed", lambda r: r.pop("seed")),
    ],
)
def test_what_must_be_equal_is_worse_where_it_is_not(report, rules, field, change):
    after = copy.deepcopy(report)
    change(after)
    assert verdict_of(compare([report], [after], rules), field).outcome == "worse"
    # On another machine, too.
    after["host"] = ELSEWHERE
    assert verdict_of(compare([report], [after], rules), field).outcome == "worse"


CHECKPOINTS = {
    "checkpoint_written": 5, "checkpoint_failed": 0, "checkpoint_size_bytes": 1000,
    "checkpoint_stored_bytes": 1024, "checkpoint_stall_mean_s": 1.0,
    "checkpoint_write_mib_per_s": 100.0, "errors": 0, "retries": 0,
    "peak_memory_bytes": 100 * 2**20,
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "outcome"),
    [
        ("checkpoint_written", 4, "worse"),
        ("checkpoint_failed", 1, "worse"),
        ("checkpoint_size_bytes", 2000, "worse"),
        ("checkpoint_stored_bytes", 2000, "worse"),
        ("errors", 3, "worse"),
        ("retries", 50, "worse"),
        ("retries", 5, "same"),
        ("peak_memory_bytes", 114 * 2**20, "same"),
        ("peak_memory_bytes", 116 * 2**20, "worse"),
        ("checkpoint_stall_mean_s", 1.2, "worse"),
        ("checkpoint_write_mib_per_s", 120.0, "improved"),
    ],
)
def test_checkpoints_errors_retries_and_memory_count(report, rules, field, value, outcome):
    before = report | CHECKPOINTS
    assert verdict_of(compare([before], [before | {field: value}], rules), field).outcome == outcome


def test_what_only_the_baseline_tells_is_lost(saved, report, cm4storage_of, capsys):
    base = saved("base", report)
    names = [name for name in report if name.endswith(("_latency_ms", "_per_sec", "_percent"))]
    lost = saved("lost", report | {THROUGHPUT: None})
    assert cm4storage_of(["compare", base, lost]) == 5
    assert "lost, the new run does not tell: throughput_samples_per_sec" in capsys.readouterr().out
    assert cm4storage_of(["compare", base, saved("all", report | dict.fromkeys(names))]) == 5
    assert cm4storage_of(["compare", lost, base]) == 0
    # Another workload may have other figures.
    other = saved("other", report | {THROUGHPUT: None, "workload_digest": "0" * 64})
    assert cm4storage_of(["compare", base, other, "--across=workload"]) == 0
    nothing = saved("nothing", {"schema": report["schema"], "version": report["version"]})
    assert cm4storage_of(["compare", nothing, nothing]) == 5
    assert cm4storage_of(["compare", nothing, nothing, "--mode=development"]) == 0


def test_an_order_that_one_side_knows_in_part_differs_where_both_know_it(report, rules):
    def with_orders(*digests):
        changed = copy.deepcopy(report)
        changed["access_order_digest"] = None if None in digests else "".join(digests)
        for epoch, digest in zip(changed["epochs"], digests, strict=True):
            epoch["order_digest"] = digest
        return changed

    old, now = with_orders("a", None), with_orders("a", "b")
    field = "epochs.*.order_digest"
    found = compare([old], [now], rules)
    assert verdict_of(found, field).reason == "the baseline does not tell"
    assert (found.is_worse, found.lost) == (False, [])
    found = compare([now], [old], rules)
    assert found.lost == ["access_order_digest", field]
    assert verdict_of(compare([old], [with_orders("c", "b")], rules), field).outcome == "worse"
    assert verdict_of(compare([now], [with_orders("a", "c")], rules), field).outcome == "worse"


def test_modes_and_backends_change_the_tolerance(report):
    before, after = with_throughput(report, 100, 104)
    rules = tolerances.load()
    outcomes = {
        (mode, backend): verdict_of(compare([before], [after], rules.chosen(mode, backend))).outcome
        for mode in ("standard", "strict", "relaxed")
        for backend in ("file", "directio")
    }
    assert outcomes[("standard", "file")] == "same"
    assert outcomes[("strict", "file")] == "improved"
    assert outcomes[("standard", "directio")] == "same"
    after[THROUGHPUT] = 104.5
    assert verdict_of(compare([before], [after], rules.chosen("standard", "directio"))).outcome == (
        "improved"
    )
    assert compare([before], [after], rules.chosen("development", "file")).figures == ()
    s3 = {rule.field: rule for rule in rules.chosen("standard", "s3").figures}
    assert s3["io_p50_latency_ms"].relative == pytest.approx(0.2)
    assert s3["p50_latency_ms"].relative == pytest.approx(0.1)
    with pytest.raises(UserError, match="no mode lenient"):
        rules.chosen("lenient", "file")


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(1, 1e6), min_size=2, max_size=40),
    st.lists(st.floats(1, 1e6), min_size=2, max_size=40),
)
def test_uncertainty_is_welchs(a, b):
    half = uncertainty(Samples.of(a), Samples.of(b))
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    error = math.sqrt(va + vb)
    assert 1.95 * error <= half + 1e-9
    assert half <= 12.71 * error + 1e-9
    assert uncertainty(Samples.of(b), Samples.of(a)) == pytest.approx(half)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot read the rules"),
        ("[]", "no file of tolerances"),
        ('{"schema": "cm4storage.tolerance", "version": 2}', "version 2"),
        ('{"schema": "cm4storage.tolerance", "version": 1}', "makes no sense"),
        (
            (
                '{"schema": "cm4storage.tolerance", "version": 1, "tolerance_rules": '
                '{"performance_metrics": {"x": {"better": "more"}}}}'
            ),
            "higher or lower",
        ),
        (
            (
                '{"schema": "cm4storage.tolerance", "version": 1, "tolerance_rules": '
                '{"functional_metrics": {"x": {"needs_same": []}}}}'
            ),
            "one of exact_match",
        ),
    ],
)
def test_bad_rules_are_refused(tmp_path, text, match):
    path = tmp_path / "rules.json"
    path.write_text(text)
    with pytest.raises(UserError, match=match):
        tolerances.load(path)


def test_runs_are_found_in_folders(run_folder, tmp_path, report):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_bytes((run_folder / "run.json").read_bytes())
    (tmp_path / ".unfinished-x").mkdir()
    (tmp_path / ".unfinished-x" / "run.json").write_text("{")
    found = load_all([tmp_path, run_folder / "report.json"])
    assert found == [report, report]  # the first computed from what was recorded
    with pytest.raises(UserError, match="no run in this folder"):
        load_all([_empty(tmp_path)])


def _empty(folder):
    made = folder / "empty"
    made.mkdir()
    return made


def test_newer_reports_are_refused(tmp_path, report):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**report, "version": 99}))
    with pytest.raises(UserError, match="version 99"):
        load_all([path])


def test_exit_codes(saved, report, cm4storage_of, capsys):
    base = saved("base", {**report, THROUGHPUT: 100})
    worse = saved("worse", {**report, THROUGHPUT: 50})
    elsewhere = saved("elsewhere", {**report, "host": ELSEWHERE})
    assert cm4storage_of(["compare", base, base]) == 0
    assert cm4storage_of(["compare", base, worse]) == 4
    assert cm4storage_of(["compare", base, base, worse]) == 4
    assert cm4storage_of(["compare", base, elsewhere]) == 5
    assert cm4storage_of(["compare", base, elsewhere, "--across=machine"]) == 0
    assert cm4storage_of(["compare", base, worse, "--mode=development"]) == 0
    assert cm4storage_of(["compare", base, base, "--strict"]) == 0
    assert cm4storage_of(["compare", base]) == 2
    assert cm4storage_of(["compare", base, base, "--across=weather"]) == 2
    assert cm4storage_of(["compare", base, "nowhere"]) == 1
    assert "there is nothing of this name" in capsys.readouterr().err


def test_json_and_markdown(saved, report, cm4storage_of, capsys):
    base = saved("base", {**report, THROUGHPUT: 100})
    worse = saved("worse", {**report, THROUGHPUT: 50})
    cm4storage_of(["compare", base, base, worse, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "worse"
    assert found["runs"] == {"baseline": 2, "new": 1}
    by_field = {each["field"]: each for each in found["figures"]}
    assert by_field[THROUGHPUT]["change_percent"] == -50
    assert by_field[THROUGHPUT]["baseline"] == {"count": 2, "mean": 100.0, "stdev": 0.0}
    assert cm4storage_of(["compare", base, base, worse, "--out=json", "-q"]) == 4
    assert json.loads(capsys.readouterr().out) == found
    cm4storage_of(["compare", base, worse, "--out=markdown"])
    markdown = capsys.readouterr().out
    assert cm4storage_of(["compare", base, worse, "--json", "--markdown"]) == 2
    capsys.readouterr()
    cm4storage_of(["compare", base, worse, "--markdown"])
    out = capsys.readouterr().out
    assert out == markdown
    lines = out.splitlines()
    assert "| throughput | 100 samples/s | 50 samples/s | -50.0 % | 5 samples/s | worse |" in lines
    assert lines[-1].startswith("- worse: ")


def test_the_verdict_is_shown_also_where_no_file_can_be_written(
    saved, report, cm4storage_of, capsys, tmp_path
):
    words = [saved("base", report), saved("new", {**report, "total_bytes": 1})]
    assert cm4storage_of(["compare", *words, f"--result_file={tmp_path}/none/x.json"]) == 3
    captured = capsys.readouterr()
    assert "worse, must be equal" in captured.out
    assert "cannot write x.json" in captured.err
