"""DLIO YAML of every dialect, and overrides."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.core.errors import UserError
from cm4storage.workload.reading import parse_overrides, read_file, read_text
from cm4storage.workload.schema import keys

OLD_DIALECT = """
model: unet3d
dataset:
  record_length: 146600628
  record_length_stdev: 68341808
  record_length_resize: 2097152
"""
NEW_DIALECT = """
model: {name: unet3d}
dataset:
  record_length_bytes: 146600628
  record_length_bytes_stdev: 68341808
  record_length_bytes_resize: 2097152
"""


def test_both_dialects_give_the_same_settings():
    assert read_text(OLD_DIALECT, "old").values == read_text(NEW_DIALECT, "new").values


def test_the_samples_of_a_file_may_be_as_many_as_those_of_dlrm():
    text = "dataset: {num_samples_per_file: 4195198976}"
    assert read_text(text, "dlrm").values == {"dataset.num_samples_per_file": 4195198976}


def test_hydra_nesting_under_workload_is_taken_off():
    assert read_text("workload: {train: {epochs: 3}}", "x").values == {"train.epochs": 3}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("reader: {file_shuffle: off}", "reader.file_shuffle", "off"),
        ("data_reader: {batch_size: 4}", "reader.batch_size", 4),
        ("train: {computation_time: 1e-3}", "train.computation_time", 1e-3),
        ("dataset: {num_files_train: 1e3}", "dataset.num_files_train", 1000),
        ("output: {metric: {exclude_start_steps: 2}}", "output.metric.exclude_start_steps", 2),
        ("dataset: {record_length: 114660.07}", "dataset.record_length_bytes", 114660.07),
    ],
)
def test_quirks_of_yaml_and_of_old_names(text, key, value):
    got = read_text(text, "x").values[key]
    assert getattr(got, "mean_s", got) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: {num_files_train: many}", r"dataset\.num_files_train: expected a whole number"),
        ("dataset: {num_files_train: 1.5}", r"expected a whole number, got 1\.5"),
        ("dataset: {num_files_train: 0}", r"must be at least 1"),
        ("dataset: {num_files_train: true}", r"expected a whole number"),
        ("reader: {file_shuffle: sometimes}", r"expected one of off, seed, random"),
        ("workflow: {train: 1}", r"expected true or false"),
        ("metric: {au: 101}", r"must be at most 100"),
        ("train: {computation_time: {type: zipf}}", r"unknown type 'zipf'"),
        (
            "train: {computation_time: {mean: 1, median: 2}}",
            r"normal takes mean, stdev, not median",
        ),
        ("dataset: {data_folder: [a]}", r"expected a text"),
        ("train: {computation_time: -1}", r"must be a finite number of at least 0, not -1"),
        ("train: {computation_time: .nan}", r"must be a finite number"),
        ("train: {computation_time: .inf}", r"must be a finite number"),
        ("train: {computation_time: {mean: 1, stdev: -1}}", r"stdev must be a finite number"),
        ("train: {computation_time: {type: poisson, lam: -1}}", r"lam must be a finite number"),
        ("train: {computation_time: {type: uniform, min: 2, max: 1}}", r"min 2 is above max 1"),
        ("reader: {prefetch_size: 1e11}", r"must be at most 1e\+06"),
        ("dataset: {record_length_bytes_stdev: 1e300}", r"must be at most"),
        ("dataset: {record_dims: 3}", "record_dims: expected a list"),
        ("dataset: {hdf5: {chunk_dims: [a]}}", "hdf5.chunk_dims: expected a whole number"),
        ("dataset: {num_files_train: '${x}'}", r"\$\{x\} names no key"),
        ("dataset: {record_length: 1, record_length_bytes: 2}", r"two names of one key"),
        ("[1, 2]", r"holds no settings"),
        ("", r"holds no settings"),
        ("a: b: c", r"not valid YAML.*\n  where: x, line 1, column 5"),
        ("\tdataset: 1", r"not valid YAML"),
    ],
)
def test_bad_text_names_place_and_rule(text, message):
    with pytest.raises(UserError, match=message):
        read_text(text, "x")


def test_unknown_key_in_a_file_is_a_note_with_the_nearest_name():
    settings = read_text("reader: {read_thread: 4}", "x")
    assert settings.notes == (
        "reader.read_thread: unknown key, ignored; did you mean reader.read_threads?",
    )


def test_unknown_key_in_an_override_is_an_error_with_the_nearest_name():
    with pytest.raises(UserError, match=r"no key reader\.read_thread; did you mean reader\.read_"):
        parse_overrides("reader.read_thread=4")


def test_what_dlio_ignores_is_a_note():
    assert read_text("workflow: {do_eval: true}", "x").notes == (
        "workflow.do_eval: DLIO itself ignores this key",
    )


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=r"there is no workload file none\.yaml"):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot read the workload file: Is a directory"):
        read_file(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_file(tmp_path / "binary.yaml")


def test_overrides_take_hydra_prefixes_quotes_and_lists():
    values = parse_overrides(
        "++workload.reader.read_threads=4 train.epochs=2 'dataset.data_folder=a b' "
        "train.computation_time={mean: 0.1, stdev: 0.01}".replace("{", "'{").replace("}", "}'")
    ).values
    assert values["reader.read_threads"] == 4
    assert values["train.epochs"] == 2
    assert values["dataset.data_folder"] == "a b"
    assert values["train.computation_time"].parameters == (0.1, 0.01)


@pytest.mark.parametrize("text", ["train.epochs", "=4", "'open"])
def test_malformed_overrides(text):
    with pytest.raises(UserError, match="--params"):
        parse_overrides(text)


@given(st.sampled_from(sorted(keys())), st.integers(-5, 2**40))
def test_an_override_is_typed_or_refused_with_its_name(path, value):
    try:
        named = list(parse_overrides(f"{path}={value}").values)
    except UserError as error:
        named = [error.what.partition(":")[0]]
    assert named == [path]


@given(st.text(max_size=60))
def test_no_text_brings_the_reader_down(text):
    with contextlib.suppress(UserError):
        assert read_text(text, "x").values is not None
