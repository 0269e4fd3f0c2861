"""Hydra's override notation, with Hydra itself as the judge."""

from __future__ import annotations

import contextlib
import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from cm4storage.workload.grammar import parse_override, parse_value

HYDRA = OverridesParser.create()


@pytest.mark.parametrize(
    "text",
    [
        "a.b=4", "a.b=-4.5e-3", "a=1_000", "a=null", "a=NULL", "a=True", "a=false", "a=text",
        "a='quoted, text'", 'a="x\\"y"', "a='it\\'s'", "a=[1,2,[3,null]]", "a=[]", "a={}",
        "a={b: 1, c: [x, y], d: {e: null}}", "a={mean: 0.3, stdev: 0}", "a=1e6", "a=.5", "a=inf",
        "+a=1", "++a.b=x", "a=/data/one two", "a=s3://bucket/key", "a=${b.c}", "a=x-${b}-y",
        "a=[${b},2]", "a=off", "a=", "a=[ 1 , 2 ]", "a=a\\,b", "a=1.2.3", "a=00012",
        "a={b: 'x, y'}",
    ],
)  # fmt: skip
def test_values_are_those_that_hydra_reads(text):
    theirs = HYDRA.parse_override(text)
    ours = parse_override(text)
    assert ours.path == theirs.key_or_group
    assert ours.value == theirs.value()
    assert type(ours.value) is type(theirs.value())


@pytest.mark.parametrize(("text", "has_value"), [("~a.b", False), ("~a.b=4", True)])
def test_removal(text, has_value):
    override = parse_override(text)
    assert (override.action, override.path, override.has_value) == ("remove", "a.b", has_value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "is not KEY=VALUE"),
        ("=4", "is not KEY=VALUE"),
        ("a..b=4", "is not KEY=VALUE"),
        ("+++a=4", "more than two"),
        ("a=[1,2", "] or a comma is missing"),
        ("a={b", "has no value"),
        ("a={b: 1", "} or a comma is missing"),
        ("a='x", "the quote ' is not closed"),
        ("a=1,2", "a list needs brackets"),
        ("a=[1]x", "unexpected 'x'"),
        ("a=[1,,2]", "an item between"),
        ("a=${b", "not closed"),
        ("a={[1]: 2}", "must be a text"),
        ("a=" + "[" * 60, "brackets more than 40 deep"),
    ],
)
def test_what_is_no_override_says_why(text, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        parse_override(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_value_or_refused(text):
    with contextlib.suppress(ValueError):
        assert parse_value(text) is not Ellipsis


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abc xyz/._-", min_size=1).map(str.strip).filter(lambda t: t[:1].isalpha()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=8,
)  # fmt: skip


def written(value):
    """Write a value in Hydra's notation."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}: {written(v)}" for k, v in value.items()) + "}"
    if value is None:
        return "null"
    return f"'{value}'" if isinstance(value, str) else repr(value)


@settings(deadline=None)
@given(PLAIN)
def test_what_is_written_is_read_again(value):
    assert parse_value(written(value)) == value


def test_numbers_that_are_none():
    assert math.isnan(parse_value("nan"))
    assert parse_value("1" * 400) == "1" * 400
