"""Files that people have edited or damaged: refused with a message, or compared."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import UserError
from cm4storage.report.comparison import as_json, render, render_markdown
from cm4storage.results.comparing import rules as tolerances
from cm4storage.results.comparing.comparison import compare
from cm4storage.results.comparing.goldens import load_golden
from cm4storage.results.comparing.reports import load_all

HEAD = {"schema": "cm4storage.tolerance", "version": 1}
FIGURE = {"better": "higher", "group": "throughput"}
EXACT = {"exact_match": True}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("host", "vm", "host is not an object"),
        ("host", {"versions": [1]}, "host.versions is not an object"),
        ("conduct", ["cold"], "conduct is not an object"),
        ("conduct", {"plugin_options": {"mine": 3}}, "conduct.plugin_options is not"),
        ("conduct", {"changed_options": {"mine": 3}}, "conduct.changed_options is not"),
        ("conduct", {"added_plugins": [[]]}, "conduct.added_plugins is not"),
        ("epochs", [1, 2], "epochs is not a list of objects"),
        ("evaluations", {}, "evaluations is not a list"),
        ("limits", float("nan"), "NaN is no number of JSON"),
        ("limits", [3], "limits is not an object"),
        ("total_bytes", 10**400, "a number that is too large"),
        ("client", ["obstore"], "client is not a text"),
    ],
)
def test_a_damaged_report_is_refused(tmp_path, report, field, value, words):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**report, field: value}), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        load_all([path])


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 200 + "]" * 200, '{"a": 1e999}', "\xff"])
@pytest.mark.parametrize("load", [lambda path: load_all([path]), tolerances.load, load_golden])
def test_what_is_no_json_is_refused(tmp_path, text, load):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="cannot read"):
        load(path)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_report_with_any_other_values_is_compared_or_refused(tmp_path, report, rules, data):
    changed = json.loads(json.dumps(report))
    parts = [changed, changed["host"], changed["conduct"], changed["epochs"][0]]
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(parts))
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(_ANY)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    try:
        [loaded] = load_all([path])
    except UserError:
        return
    for sides in (([report], [loaded]), ([loaded], [report]), ([loaded, report], [loaded] * 2)):
        found = compare(*sides, rules)
        assert render(found)
        assert render_markdown(found)
        json.dumps(as_json(found), allow_nan=False)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"validation_modes": {"m": {"performance_tolerance_multiplier": "x"}}}, "m: a tolerance"),
        ({"validation_modes": {"m": {"performance_tolerance_multiplier": -1}}}, "m: a tolerance"),
        ({"validation_modes": {"m": {"multiplier": 2}}}, "m: there is no multiplier"),
        ({"validation_modes": ["m"]}, "makes no sense"),
        ({"backend_specific_adjustments": {"s3": {"io_tolerance_multiplier": 2}}}, "no io_toler"),
        (
            {"backend_specific_adjustments": {"s3": {"throughput_tolerance_multiplier": "2"}}},
            "s3: a tolerance must be a number",
        ),
        ({"backend_specific_adjustments": {"s3": 2}}, "makes no sense"),
        ({"validation_mode": {}}, "the file: there is no validation_mode"),
    ],
)
def test_modes_and_backends_that_make_no_sense_are_refused(tmp_path, parts, words):
    rules = {"performance_metrics": {"x": FIGURE}}
    refused(tmp_path, {**HEAD, "tolerance_rules": rules, **parts}, words)


@pytest.mark.parametrize(
    ("section", "rule", "words"),
    [
        ("performance_metrics", {"relative_tolerance_percnt": 5}, "no relative_tolerance_percnt"),
        ("performance_metrics", {"absolute_tolerance": -1}, "at least 0"),
        ("performance_metrics", {"absolute_tolerance": "1"}, "must be a number"),
        ("performance_metrics", {"description": 5}, "description must be a text"),
        ("functional_metrics", {"needs": ["backend"]}, "there is no needs"),
        ("functional_metrics", {"sequence_match": True, "sample_size": 0}, "above 0"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path, section, rule, words):
    plain = FIGURE if section == "performance_metrics" else EXACT
    refused(tmp_path, {**HEAD, "tolerance_rules": {section: {"x": plain | rule}}}, words)


def refused(tmp_path, document, words):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        tolerances.load(path)
