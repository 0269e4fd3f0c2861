"""Any mapping of keys and values is a workload, or an error that names a key."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import UserError
from cm4storage.workload import resolve, schema
from cm4storage.workload.entries import nested
from cm4storage.workload.explain import Request, explain
from cm4storage.workload.plan import Plan
from cm4storage.workload.quirks import quirks
from cm4storage.workload.resolved import from_document

NAMES = sorted({*schema.keys(), *schema.aliases()} - {"model"})
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["off", "seed", "npz", "parquet", "zip", "${reader.batch_size}", "1e9"])
)  # fmt: skip
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=5), SCALARS)
ANY_CONFIG = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=8)
"""Mostly wrong."""

LIKELY = {
    "dataset.format": st.sampled_from(["npz", "npy", "hdf5", "tfrecord", "csv", "jpeg", "parquet"]),
    "dataset.num_files_train": st.integers(0, 10**6),
    "dataset.num_files_eval": st.integers(0, 100),
    "dataset.num_samples_per_file": st.integers(0, 10**7),
    "dataset.record_length_bytes": st.floats(1, 1e9),
    "dataset.record_length_bytes_stdev": st.floats(0, 1e6),
    "dataset.record_dims": st.lists(st.integers(1, 2000), max_size=3),
    "dataset.num_subfolders_train": st.integers(0, 9),
    "reader.batch_size": st.integers(1, 5000),
    "reader.prefetch_size": st.integers(0, 9),
    "train.epochs": st.integers(0, 9),
    "train.total_training_steps": st.integers(-2, 100),
    "train.computation_time": st.floats(0, 10) | st.just({"mean": 1.0, "stdev": 0.5}),
    "workflow.train": st.booleans(),
    "workflow.checkpoint": st.booleans(),
    "metric.au": st.floats(0, 100),
}
LIKELY_CONFIG = st.fixed_dictionaries({}, optional=LIKELY).filter(bool)
"""Mostly right."""

SCALE = st.sampled_from(["stock", "quick"])
ANY_RATE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def made_of(config, tmp_path, scale):
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(nested(config)), encoding="utf-8")
    return explain(Request(config=path, scale=scale))


@ANY_RATE
@given(ANY_CONFIG | LIKELY_CONFIG, SCALE)
def test_a_workload_or_errors_that_name_keys(tmp_path, config, scale):
    try:
        explained = made_of(config, tmp_path, scale)
    except UserError as error:
        if "two names of one key" not in error.what:
            raise
        return
    quirks(explained)
    assert json.dumps(explained.workload.settings(), allow_nan=False)
    for problem in explained.problems:
        assert problem.level == "error"
        assert any(word in problem.what + problem.where for word in [*config, "reader.batch_size"])
    if not explained.problems:
        assert explained.workload.steps_per_epoch() >= explained.workload.workflow.train
        assert explained.workload.writes_checkpoints_only or next(
            Plan.of(explained.workload).files()
        )


@ANY_RATE
@given(LIKELY_CONFIG, SCALE)
def test_the_file_of_a_workload_gives_it_back(tmp_path, config, scale):
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(nested(config)))
    try:
        resolved = resolve.resolve(Request(config=path, scale=scale))
    except UserError:
        return
    document = json.loads(json.dumps(resolved.to_document(), allow_nan=False))
    assert from_document(document, "x") == resolved


@ANY_RATE
@given(st.sampled_from(sorted(LIKELY)), st.data())
def test_an_override_beats_the_file(tmp_path, name, data):
    first, second = data.draw(LIKELY[name]), data.draw(LIKELY[name])
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(nested({name: first})))
    params = f"'++workload.{name}={json.dumps(second)}'"
    explained = explain(Request(config=path, params=params))
    alone = explain(Request(config=path, params=f"~{name} {params}"))
    if not alone.problems and not isinstance(second, dict):
        assert explained.workload.settings()[name] == alone.workload.settings()[name]
        assert explained.origins[name].kind == "override"


@given(st.sampled_from(sorted(schema.keys())))
def test_every_default_is_of_its_type_and_in_its_range(path):
    key = schema.keys()[path]
    plain = json.loads(json.dumps(resolve.kept(explain(Request())).workload.settings()))
    assert path in plain
    if key.default is not None:
        assert key.parse(key.default if not key.is_distribution else 0) == key.default


def test_a_file_of_the_first_version_is_read():
    """Its digest covered all values, its keys were fewer, and one had another name."""
    settings_then = {"framework": "pytorch", "dataset.format": "npz", "reader.batch_size": 2,
                     "output.exclude_start_steps": 3}  # fmt: skip
    from cm4storage.core.canonical import digest

    document = {
        "schema": "cm4storage.workload", "version": 1, "accelerator": "h100", "scale": "stock",
        "source": "own.yaml", "overrides": {}, "notes": [], "settings": settings_then,
        "digest": digest(["h100", "stock", settings_then]),
    }  # fmt: skip
    resolved = from_document(document, "x")
    assert resolved.workload.output.exclude_start_steps == 3
    assert resolved.dialect == ""
    document["settings"] = settings_then | {"reader.batch_size": 4}
    with pytest.raises(UserError, match="changed after it was made"):
        from_document(document, "x")


def test_all_problems_are_found_and_the_first_is_raised(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("reader: {batch_size: x, read_threads: -1}\ntrain: {epochs: 0}")
    assert len(explain(Request(config=path, params="no.key=4")).problems) == 4
    with pytest.raises(
        UserError, match=r"(?s)expected a whole number.*see all 3 problems"
    ) as raised:
        resolve.resolve(Request(config=path))
    assert "also: train.epochs: must be at least 1, got 0" in raised.value.advice


def test_digest_stays_where_a_default_is_written_out(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("model: own\nreader: {batch_size: 2}")
    plain = resolve.resolve(Request(config=path)).workload.digest()
    path.write_text("model: own\nreader: {batch_size: 2.0}\ntrain: {epochs: 1, seed: 123}")
    assert resolve.resolve(Request(config=path)).workload.digest() == plain
