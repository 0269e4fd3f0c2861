"""Which points a sweep has, and what makes a point another one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import UsageError, UserError
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.storage.location import StoreLocation
from cm4storage.sweep import plan
from cm4storage.sweep.axes import Axis, parse, product
from cm4storage.workload.resolve import Request

CHECKOUT = Path(__file__).resolve().parents[2]
KEYS = st.from_regex(r"[a-z_]+(\.[a-z_0-9]+){1,2}", fullmatch=True)
VALUES = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8
).filter(lambda text: "=" not in text)


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        KEYS, st.lists(VALUES, min_size=1, max_size=4, unique=True), min_size=1, max_size=3
    )
)
def test_what_is_written_is_read(axes):
    text = " ".join(f"{key}={' '.join(map(shlex.quote, values))}" for key, values in axes.items())
    expected = tuple(Axis(key, tuple(values)) for key, values in axes.items())
    assert parse([text]) == expected


def test_several_texts_are_one_sweep_and_a_value_counts_once():
    axes = parse(["reader.read_threads=1 2 1", "train.epochs=3"])
    assert product(axes) == [
        {"reader.read_threads": "1", "train.epochs": "3"},
        {"reader.read_threads": "2", "train.epochs": "3"},
    ]


def setup(**changes):
    """Return what the points of a sweep share."""
    place = StoreLocation.parse(changes.pop("data_dir", "/data"))
    limits, conduct = changes.pop("limits", Limits()), changes.pop("conduct", Conduct())
    return plan.Setup(Request(scale="quick", **changes), place, limits, conduct, "command")


def keys(repeats=1, **changes):
    points = plan.points_of(setup(**changes), parse(["reader.read_threads=1 2"]), repeats)
    return [point.key for point in points]


def test_a_key_covers_all_that_a_result_depends_on(monkeypatch):
    first = keys()
    assert first == keys()
    others = [
        keys(params="train.epochs=1"),
        keys(seed=7),
        keys(data_dir="/other"),
        keys(data_dir="directio:///data"),
        keys(limits=Limits(max_steps=2)),
        keys(conduct=Conduct(is_cold=True)),
        keys(model="cosmoflow"),
        keys(repeats=2)[2:],
    ]
    monkeypatch.setattr(plan, "code_digest", lambda: "other code")
    others.append(keys())
    monkeypatch.setattr(plan, "machine", lambda: {"hostname": "other"})
    others.append(keys())
    monkeypatch.setattr(plan, "versions", lambda: {"h5py": "99"})
    others.append(keys())
    monkeypatch.setattr(plan.platform, "release", lambda: "another kernel")
    others.append(keys())
    every = [*first, *(key for other in others for key in other)]
    assert len(set(every)) == len(every) == 26


def test_what_takes_no_part_in_a_run_may_have_another_version(monkeypatch):
    monkeypatch.setattr(plan, "versions", lambda: {"numpy": "2", "rich": "1"})
    first = keys()
    monkeypatch.setattr(plan, "versions", lambda: {"numpy": "2", "rich": "3", "cmind": "1"})
    assert keys() == first


@pytest.mark.parametrize(
    ("text", "both"),
    [
        ("reader.prefetch_size=2 4 02", "reader.prefetch_size=2, and reader.prefetch_size=02"),
        ("reader.odirect=true True", "reader.odirect=true, and reader.odirect=True"),
    ],
)
def test_two_spellings_of_one_value_are_refused(text, both):
    with pytest.raises(UsageError, match=f"two points are the same: {both}"):
        plan.points_of(setup(), parse([text]), 2)


def test_a_seed_for_all_points_cannot_stand_beside_swept_seeds():
    with pytest.raises(UsageError, match=r"--seed takes the place of train\.seed"):
        plan.points_of(setup(seed=7), parse(["train.seed=1 2"]), 1)
    assert len(plan.points_of(setup(), parse(["train.seed=1 2"]), 1)) == 2


def test_rounds_are_whole():
    points = plan.points_of(setup(), parse(["reader.read_threads=1 2"]), 2)
    assert [(point.repeat, point.title) for point in points] == [
        (1, "reader.read_threads=1"),
        (1, "reader.read_threads=2"),
        (2, "reader.read_threads=1"),
        (2, "reader.read_threads=2"),
    ]


def test_the_codes_digest_is_that_of_what_measures(tmp_path):
    for name in ("loader", "report"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("x = 1\n")
    first = plan.code_digest(tmp_path)
    (tmp_path / "report" / "a.py").write_text("x = 2\n")
    assert plan.code_digest(tmp_path) == first
    (tmp_path / "loader" / "a.py").write_text("x = 2\n")
    assert plan.code_digest(tmp_path) != first


def test_a_workload_that_trains_nothing_cannot_be_swept():
    with pytest.raises(UserError, match="train"):
        plan.points_of(setup(model="llama3_8b"), parse(["checkpoint.fsync=true false"]), 1)


def test_the_guide_names_what_a_run_has_and_a_sweep_has_not():
    run, sweep = (
        yaml.safe_load((CHECKOUT / "script" / name / "_cm.yaml").read_text())
        for name in ("run-dlio-mlperf", "sweep-dlio-mlperf")
    )
    guide = (CHECKOUT / "docs" / "guide" / "sweeps.md").read_text()
    variations = {
        name.replace("#", "NAME") for name in run["variations"].keys() - sweep["variations"]
    }
    inputs = run["input_description"].keys() - sweep["input_description"]
    of_checkpoints = {name for name in inputs if name.startswith("checkpoint_")}
    assert "checkpoint_steps" in of_checkpoints
    names = [f"`_{name}`" for name in variations] + ["`--checkpoint_steps` and the like"]
    names += [f"`--{name}`" for name in inputs - of_checkpoints]
    assert [name for name in names if name not in guide] == []
