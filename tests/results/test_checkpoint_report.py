"""``report.json``, ``report.csv`` and ``cm-result.json`` of a run of checkpoints."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from referencing import Registry, Resource

from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.core.errors import UserError
from cm4storage.core.progress import NoProgress
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.comparing.reports import load_all
from cm4storage.results.report_reading import SCHEMA_FILE
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "checkpoint-workload.md"
SMALL = (
    "model.num_layers=1 model.transformer.hidden_size=64 model.transformer.ffn_hidden_size=64 "
    "model.transformer.vocab_size=64 checkpoint.num_checkpoints_write=2 "
    "checkpoint.num_checkpoints_read=1 checkpoint.time_between_checkpoints=0"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the results of one run of two ranks."""
    data, results = (tmp_path_factory.mktemp(name) for name in ("checkpoints", "results"))
    resolved = resolve(Request(model="llama3_8b", params=SMALL))
    job = CheckpointJob(resolved, StoreLocation.parse(str(data)), 2, "the command")
    write_checkpoint_files(of_checkpoint_run(run_checkpoints(job, NoProgress())), results)
    return results


@pytest.fixture
def saved(folder):
    """Return the report, to be changed at will."""
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def validator():
    """Return what judges a report by the JSON Schema of the package."""
    schemas = {path.name: json.loads(path.read_text()) for path in SCHEMA_FILE.parent.iterdir()}
    resources = [(name, Resource.from_contents(each)) for name, each in schemas.items()]
    schema = schemas["checkpoint_report.schema.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, registry=Registry().with_resources(resources))


def test_the_report_is_what_the_schema_says(saved, validator):
    validator.validate(saved)
    assert set(saved) == set(validator.schema["properties"])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("save_count", -1), ("layout", {}), ("host", None), ("load_checkpoints", [{}]), ("git", 1)],
)
def test_the_schema_refuses_what_is_wrong(saved, validator, name, wrong):
    with pytest.raises(jsonschema.ValidationError, match=r"."):
        validator.validate({**saved, name: wrong})


def test_the_report_tells_the_machine_and_the_software(saved):
    assert saved["host"]["kernel"] == os.uname().release
    assert saved["cm4storage_version"] == saved["host"]["versions"]["cm4storage"]
    assert saved["file_system"]["type"]
    assert set(saved["host"]) & {"cpu", "memory"} == set()


def test_a_report_of_version_1_is_read_and_a_newer_one_refused(saved, tmp_path, validator):
    old = copy.deepcopy(saved) | {"version": 1}
    for name in ("git", "file_system", "cm4storage_version", "s3dlio_version", "dl_driver_version"):
        del old[name]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(old))
    [read] = load_all([path])
    validator.validate(read)
    assert read["file_system"] is None
    path.write_text(json.dumps(saved | {"version": 99}))
    with pytest.raises(UserError, match="has version 99; this release reads up to 2"):
        load_all([path])


def test_the_table_has_a_row_for_the_run_and_for_each_rank(folder, saved):
    table = pd.read_csv(folder / "report.csv")
    assert list(table["row"]) == ["run"] + ["checkpoint"] * 6
    run, *operations = table.to_dict("records")
    assert run["save_count"] == 2
    assert run["ranks"] == 2
    assert run["not_comparable_because"] == "; ".join(saved["not_comparable_because"])
    mean_s = run["save_duration_max_over_ranks_mean_s"]
    assert mean_s == pytest.approx(saved["save_duration_max_over_ranks_mean_s"])
    written = [row for row in operations if row["kind"] == "save"]
    assert {(row["number"], row["rank"]) for row in written} == {(1, 0), (1, 1), (2, 0), (2, 1)}
    first = max((row for row in written if row["number"] == 1), key=lambda row: row["duration_s"])
    [expected] = [each for each in saved["save_checkpoints"] if each["number"] == 1]
    assert first["throughput_gib_per_s"] == pytest.approx(expected["throughput_min_gib_per_s"])


def test_the_record_for_the_viewers_of_cm_is_flat(folder, saved):
    [record] = json.loads((folder / "cm-result.json").read_text(encoding="utf-8"))
    assert record["Result"] == saved["save_throughput_min_over_ranks_mean_gib_per_s"]
    assert (record["Result_Units"], record["Model"]) == ("GiB/s", "llama_8b")
    assert record["Scenario"] == "file stock"
    assert not [value for value in record.values() if isinstance(value, (dict, list))]


def test_the_guide_names_every_field(validator):
    page = GUIDE.read_text(encoding="utf-8")
    named = {
        name
        for cell in re.findall(r"^\|(.*?)\|", page, re.M)
        for name in re.findall(r"`(\w+)`", cell)
    }
    fields = {re.sub(r"^load_", "save_", name) for name in validator.schema["properties"]}
    assert fields - named == set()
