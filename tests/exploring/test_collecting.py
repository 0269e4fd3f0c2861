"""Layouts vary, files are damaged, and all of it is taken."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from dlio_trees import Shape, change, training_run, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import UserError
from cm4storage.results.collecting.collect import collect

LAYOUTS = {
    "Closed/Org/results/Sys/unet3d_h100/run-1": {"config": "configs", "prefix": False},
    "Closed/Org/results/Sys/unet3d_h100/run_1": {"config": "configs", "prefix": False},
    "closed/Org/results/Sys/unet3d-h100/runs/run1/host7": {"config": ".hydra", "prefix": False},
    "closed/Org/results/Sys/training/unet3d/run/20250701_101010": {},
    "open/Org/results/Sys/training/unet3d/run/20260701_101010": {},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_all_rounds(tree, only_run, layout):
    training_run(tree / layout, **LAYOUTS[layout])
    run = only_run()
    assert run.state == "complete"
    assert run.name == layout
    assert run.recomputation.verdict == "agrees"
    wanted = {
        "division": layout.partition("/")[0].lower(), "submitter": "Org", "system": "Sys",
        "model": "unet3d", "accelerator": "h100", "workload": "unet3d_h100",
    }  # fmt: skip
    assert wanted.items() <= run.identity.items()


METADATA = {
    "v1.0": None,
    "v2.0": {"args": {"model": "unet3d", "accelerator_type": "b200"}, "verification": "closed"},
    "v3.0": {"model": "unet3d", "accelerator": "mi355", "system_info": {}, "parameters": {}},
}


@pytest.mark.parametrize("round_", METADATA)
def test_round_is_told_by_the_files(tree, only_run, round_):
    training_run(tree / "run", prefix=round_ != "v1.0")
    if METADATA[round_]:
        write(tree / "run" / "training_20250701_101010_metadata.json", METADATA[round_])
    assert only_run().identity["round"] == round_


def test_round_in_the_name_of_a_folder_prevails(tmp_path):
    training_run(tmp_path / "storage_results_v2.0" / "run", prefix=False)
    [run] = collect([tmp_path / "storage_results_v2.0"]).runs
    assert run.identity["round"] == "v2.0"


def test_ranks_in_folders_of_their_hosts_are_one_run(tree, only_run):
    training_run(tree / "run1" / "host1", Shape(ranks=3))
    for rank in (1, 2):
        (tree / "run1" / "host2").mkdir(exist_ok=True)
        name = f"{rank}_output.json"
        shutil.move(tree / "run1" / "host1" / name, tree / "run1" / "host2" / name)
    assert only_run().recomputation.verdict == "agrees"


def test_parameters_have_one_name_whatever_the_file_calls_them(tree):
    training_run(tree / "old")
    training_run(tree / "new")
    config = tree / "new" / "dlio_config" / "config.yaml"
    config.write_text(config.read_text().replace("record_length:", "record_length_bytes:"))
    runs = collect([tree]).runs
    assert {run.parameters["dataset.record_length_bytes"] for run in runs} == {150_000}


def test_secrets_are_not_collected(tree, only_run):
    training_run(tree / "run")
    config = tree / "run" / "dlio_config" / "config.yaml"
    secret = "  storage: {storage_options: {access_key_id: HUSH, secret_access_key: HUSH}}\n"
    where = "  dataset2: {data_folder: 's3://me:HUSH@host/x?X-Amz-Signature=HUSH'}\n"
    config.write_text(config.read_text() + secret + where)
    assert "HUSH" not in repr(only_run())


def test_data_generation_is_no_run(tree):
    training_run(tree / "training/unet3d/run/1")
    for name in ("training/unet3d/datagen/1", "generated"):
        (tree / name / "dlio_config").mkdir(parents=True)
        (tree / name / "dlio.log").write_text("")
    config = tree / "generated" / "dlio_config" / "config.yaml"
    config.write_text("workload: {workflow: {generate_data: true, train: false}}\n")
    assert [run.name for run in collect([tree]).runs] == ["training/unet3d/run/1"]


def test_a_folder_that_is_named_twice_counts_once(tree):
    training_run(tree / "a" / "run")
    assert len(collect([tree, tree / "a", tree]).runs) == 1


def test_nothing_but_a_folder_is_taken(tree):
    with pytest.raises(UserError, match="there is no such folder"):
        collect([tree / "nowhere"])


DAMAGES = {
    "cut": ('{"metric": {"train_au', "summary.json is no JSON"),
    "empty": ("", "summary.json is no JSON"),
    "a list": ("[1, 2]", "summary.json holds no object"),
    "deep": ("[" * 200_000, "nested too deeply"),
    "long number": ('{"epochs": ' + "9" * 6000 + "}", "summary.json is no JSON"),
    "no text": (b"\xff\xfe\x00{", "summary.json is no UTF-8"),
}


@pytest.mark.parametrize(("content", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_summary_is_listed_with_its_reason(tree, only_run, content, reason):
    training_run(tree / "run")
    data = content if isinstance(content, bytes) else content.encode()
    (tree / "run" / "summary.json").write_bytes(data)
    run = only_run()
    assert run.state == "partial"
    assert reason in run.problems[0]


def test_a_run_that_did_not_end_is_listed(tree, only_run):
    training_run(tree / "run")
    (tree / "run" / "summary.json").unlink()
    run = only_run()
    assert (run.state, run.problems) == (
        "partial",
        ("there is no summary.json: the run did not end",),
    )
    assert run.parameters["reader.read_threads"] == 2


def test_what_is_no_file_is_not_waited_for(tree, only_run):
    training_run(tree / "run")
    (tree / "run" / "summary.json").unlink()
    os.mkfifo(tree / "run" / "summary.json")
    assert only_run().problems[0] == "summary.json is no file"


def test_bad_configuration_leaves_the_figures(tree, only_run):
    training_run(tree / "run")
    (tree / "run" / "dlio_config" / "config.yaml").write_text("workload: {a: [}\n")
    run = only_run()
    assert run.state == "partial"
    assert "config.yaml is no YAML" in run.problems[0]
    assert run.metrics["au_mean_percent"] > 0


BOMBS = {
    "keys": ("{x: 1, y: 2, z: 3}", "{{{}}}", "k{0}: *a{1}"),
    "keys without values": ("{x: , y: , z: }", "{{{}}}", "k{0}: *a{1}"),
    "nothing": ("{}", "{{{}}}", "k{0}: *a{1}"),
    "lists": ("[1, 2, 3]", "[{}]", "*a{1}"),
}


@pytest.mark.parametrize(("first", "around", "each"), BOMBS.values(), ids=BOMBS)
def test_aliases_that_stand_for_billions_of_values_end(tree, only_run, first, around, each):
    training_run(tree / "run")
    lines = [f"a0: &a0 {first}"]
    for n in range(1, 12):
        inner = ", ".join(each.format(place, n - 1) for place in range(9))
        lines.append(f"a{n}: &a{n} {around.format(inner)}")
    (tree / "run" / "dlio_config" / "config.yaml").write_text("\n".join(lines))
    assert len(only_run().parameters) < 1100


@pytest.mark.parametrize("content", ["a: &a [1, *a]", "a: &a {b: *a}", "&a {workload: *a}"])
def test_aliases_of_themselves_end(tree, only_run, content):
    training_run(tree / "run")
    (tree / "run" / "dlio_config" / "config.yaml").write_text(content)
    assert only_run().metrics["au_mean_percent"] > 0


def test_lists_are_texts(tree, only_run):
    training_run(tree / "run", settings={"dims": [1, "a", [2]], "many": list(range(50))})
    keys = only_run().parameters
    assert keys["reader.dims"] == "[1, a, ...]"
    assert keys["reader.many"].endswith("19, ...]")


@pytest.mark.parametrize("ranks", [0, -3, 10**12, 1e300])
def test_impossible_numbers_of_ranks(tree, only_run, ranks):
    training_run(tree / "run")
    change(tree / "run" / "summary.json", lambda it: it.update(num_accelerators=ranks))
    assert "AU and throughput of each epoch" in only_run().recomputation.missing[-1]


def test_numbers_in_texts_and_texts_in_numbers(tree, only_run):
    training_run(tree / "run")

    def edit(summary):
        summary["num_accelerators"] = "3"
        summary["metric"]["train_au_mean_percentage"] = {"no": "number"}
        summary["metric"]["train_throughput_samples_per_second"] = "no list"

    change(tree / "run" / "summary.json", edit)
    run = only_run()
    assert run.parameters["num_accelerators"] == 3
    assert "au_mean_percent" not in run.metrics


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = ["metric", "num_accelerators", "num_hosts", "epochs", "start", "end", "host_memory_GB"]
_KEYS += ["num_files_train", "num_samples_per_file", "data_size_per_host_GB", "1", "2"]
_METRIC = ["train_au_percentage", "train_au_mean_percentage", "train_io_mean_MB_per_second"]
_METRIC += ["train_throughput_samples_per_second", "checkpoint_size_GB", "compute", "au", "block1"]
_METRIC += [
    "save_ckpt1",
    "duration",
    "throughput",
    "proc",
    "start",
    "end",
    "train_au_meet_expectation",
]
_INNER = st.dictionaries(st.sampled_from(_METRIC), _JSON, max_size=8)
_DOCUMENT = st.dictionaries(st.sampled_from(_KEYS), _JSON | _INNER, max_size=9)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(summary=_DOCUMENT, output=_DOCUMENT, stats=_DOCUMENT, record=_DOCUMENT)
def test_any_json_is_taken(tree, summary, output, stats, record):
    folder = tree / "run"
    folder.mkdir(exist_ok=True)
    documents = {
        "summary.json": summary, "0_output.json": output, "0_per_epoch_stats.json": stats,
        "run.json": {"schema": "cm4storage.run", "version": 1, **record}, "a_metadata.json": record,
        "mlperf_storage_report.json": summary,
    }  # fmt: skip
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    assert len(collect([tree]).runs) == 1
