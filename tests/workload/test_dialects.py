"""Three versions of DLIO, their names and what they do otherwise."""

from __future__ import annotations

import pytest

from cm4storage.core.errors import UserError
from cm4storage.workload.dialects import ANY, MLCOMMONS_3, RELEASE_2024, SOURCES_2026
from cm4storage.workload.explain import Request, explain
from cm4storage.workload.quirks import quirks
from cm4storage.workload.reading import read_text
from cm4storage.workload.schema import aliases, keys

OF_2024 = """
model: own
framework: pytorch
dataset: {format: npz, record_length: 4096, record_length_stdev: 10, record_length_resize: 100}
checkpoint: {model_size: 499153191, optimization_groups: [1, 2], num_layers: 44,
             layer_parameters: [3], tensor_parallelism: 2, pipeline_parallelism: 4, type: all_ranks}
workflow: {train: true, debug: false}
"""
OF_2026 = """
model: {name: own, model_size_bytes: 499153191, optimization_groups: [1, 2], num_layers: 44,
        layer_parameters: [3], parallelism: {tensor: 2, pipeline: 4}}
framework: pytorch
dataset: {format: npz, record_length_bytes: 4096, record_length_bytes_stdev: 10,
          record_length_bytes_resize: 100}
checkpoint: {type: all_ranks}
workflow: {train: true}
"""
OF_MLCOMMONS = """
model: {name: own}
storage: {storage_type: s3, storage_library: s3dlio, storage_options: {prefetch_window: 4}}
dataset: {format: parquet, skip_listing: true, data_gen_method: dgen,
          parquet: {columns: [{name: a, dtype: float32, size: 3, read: false}], row_group_size: 7,
                    partition_by: null, read_mode: row_group}}
reader: {write_threads: 8}
"""


@pytest.fixture
def explained(tmp_path):
    """Return a function from YAML text to what is known of it."""

    def make(text, params=""):
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return explain(Request(config=path, params=params))

    return make


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        (OF_2024, RELEASE_2024),
        (OF_2026, SOURCES_2026),
        (OF_MLCOMMONS, MLCOMMONS_3),
        ("reader: {batch_size: 4}", ANY),
        ("model: own", RELEASE_2024),
        ("model: {name: own}", SOURCES_2026),
        ("dataset: {format: parquet}", MLCOMMONS_3),
    ],
)
def test_the_dialect_is_found_by_its_names(explained, text, dialect):
    made = explained(text)
    assert made.dialect.name == dialect
    assert str(made.dialect)
    assert not made.problems


def test_dialects_say_the_same(explained):
    assert explained(OF_2024).workload == explained(OF_2026).workload


def test_overrides_decide_no_dialect(explained):
    assert explained("model: own", "++model.model_size_bytes=4").dialect.name == RELEASE_2024


def test_a_mixture_is_noted(explained):
    (note,) = (n for n in explained("model: {name: own}\ndataset: {record_length: 4}").notes
               if "DLIO may ignore" in n)  # fmt: skip
    assert note.startswith("dataset.record_length: of DLIO 2.0.0 (PyPI, 2024), beside names of")


@pytest.mark.parametrize("alias", sorted(aliases()))
def test_an_override_beats_the_file_under_any_name(explained, alias):
    path = aliases()[alias]
    first, second = _two_values(keys()[path])
    for in_file, override in ((alias, path), (path, alias), (alias, alias)):
        settings = explained(_yaml(in_file, first), f"'{override}={second}'").workload.settings()
        expected = keys()[path].parse(second)
        assert settings[path] == (list(expected) if isinstance(expected, tuple) else expected)


def _two_values(key):
    kind = str(key.annotation)
    if "tuple" in kind:
        return [1], [2]
    return ("one", "two") if "str" in kind else (4, 5)


def _yaml(path, value):
    text = repr(value)
    for name in reversed(path.split(".")):
        text = f"{{{name}: {text}}}"
    return text


@pytest.mark.parametrize("alias", sorted(set(aliases()) - {"model"}))
def test_two_names_of_one_value_are_refused_only_when_they_differ(alias):
    path = aliases()[alias]
    first, second = _two_values(keys()[path])
    assert read_text(_together(alias, first, path, first), "x").values
    with pytest.raises(UserError, match="are two names of one key, with two values"):
        read_text(_together(alias, first, path, second), "x")


def _together(one, first, other, second):
    (one_section, _, one_rest), (section, _, rest) = one.partition("."), other.partition(".")
    if one_section != section:
        inner, outer = _yaml(one_rest, first), _yaml(rest, second)
        return f"{one_section}: {inner}\n{section}: {outer}"
    left, right = _yaml(one_rest, first)[1:-1], _yaml(rest, second)[1:-1]
    return f"{section}: {{{left}, {right}}}"


def test_credentials_are_kept_nowhere(explained):
    text = "storage: {storage_options: {secret_access_key: planted, access_key_id: planted}}"
    made = explained(text, "++storage.storage_options.session_token=planted")
    assert "planted" not in str(made.workload.settings()) + str(made.notes)
    assert sum("never recorded" in note for note in made.notes) == 3


@pytest.mark.parametrize(
    ("text", "level", "what"),
    [
        ("dataset: {num_subfolders_train: 1}", "warning", "num_subfolders_train: 1"),
        ("dataset: {record_dims: [4], record_length_stdev: 3}", "warning", "record_dims with"),
        ("dataset: {format: png, num_samples_per_file: 4}", "warning", "num_samples_per_file: 4"),
        ("reader: {prefetch_size: 0}", "remark", "prefetch_size: 0"),
        ("reader: {read_threads: 0}", "remark", "read_threads: 0"),
        ("framework: pytorch", "warning", "data_loader: tensorflow with framework pytorch"),
        ("reader: {data_loader: pytorch}", "warning", "tfrecord with reader.data_loader pytorch"),
        ("reader: {data_loader: pytorch, file_shuffle: seed}", "remark", "file_shuffle: seed"),
        ("train: {total_training_steps: 100}", "warning", "total_training_steps: 100"),
        ("reader: {batch_size: 3}", "remark", "num_files_train: 8"),
        ("dataset: {compression: gzip}", "remark", "compression: gzip"),
        ("checkpoint: {fsync: true}", "remark", "fsync: true"),
        ("workflow: {train: false, checkpoint: true}", "remark", "time_between_checkpoints: -1"),
        ("model: {name: x, parallelism: {data: 2}}", "warning", "parallelism.data: 2"),
        ("metric: {au: 90}", "remark", "metric.au: 90"),
        ("workflow: {train: true, generate_data: true}", "remark", "generate_data with"),
        ("workflow: {train: true, evaluation: true}", "warning", "num_files_eval is 0"),
        ("workflow: {train: true, evaluation: true}\nevaluation: {epochs_between_evals: 0}",
         "remark", "epochs_between_evals: 0"),
        ("reader: {sample_shuffle: off}", "warning", "sample_shuffle: off without quotes"),
        ("reader: {file_shuffle: 'off'}", "remark", "file_shuffle: off"),
        ("reader: {read_type: on_demand}", "remark", "read_type: on_demand"),
        ("model: {name: x, model_size: 4}", "remark", "model.model_size"),
        ("workflow: {generate_data: true}", "remark", "workflow without train"),
        ("dataset: {format: parquet}", "remark", "format: parquet"),
    ],
)  # fmt: skip
def test_what_dlio_does_otherwise_is_known(explained, text, level, what):
    found = [q for q in quirks(explained(text)) if what in q.what]
    assert [q.level for q in found] == [level]
    assert found[0].meaning


def test_a_plain_workload_has_no_quirks(explained):
    text = ("framework: pytorch\ndataset: {format: npz, num_files_train: 8}\n"
            "reader: {data_loader: pytorch, batch_size: 2}\nworkflow: {train: true}")  # fmt: skip
    assert quirks(explained(text)) == []
