"""What the terminal says of a run of checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_checkpoints import made_checkpoints

from cm4storage.report.checkpoint_table import render_checkpoints
from cm4storage.results.checkpoint_report import build_report
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run


def report_of(**changes):
    record = made_checkpoints()
    changed = {name: getattr(record, name) | change for name, change in changes.items()}
    return build_report(of_checkpoint_run(replace(record, **changed)))


@pytest.mark.parametrize(
    ("backend", "fsync", "words"),
    [
        ("file", True, "each file was synced"),
        ("directio", False, "not synced"),
        ("s3", True, "the service acknowledged each file"),
        ("az", False, "the service acknowledged each file"),
    ],
)
def test_durability_claims_no_more_than_was_done(backend, fsync, words):
    report = report_of(storage={"backend": backend, "fsync": fsync})
    shown = str(render_checkpoints(report, "folder", "command"))
    [line] = [line for line in shown.splitlines() if "durability" in line]
    assert words in line


@pytest.mark.parametrize(
    ("ranks", "data", "reasons"),
    [
        (8, 8, []),
        (4, 8, ["4 ranks in place of 8"]),
        (8, 2, ["checkpoint.mode was changed", "model.parallelism.data was changed"]),
    ],
)
def test_the_subset_mode_of_the_rules_is_comparable(ranks, data, reasons):
    subset = {"is_subset": True, "prescribed_ranks": 64, "tensor": 8, "pipeline": 1}
    overrides = {"checkpoint.mode": "subset", "model.parallelism.data": data}
    report = report_of(
        layout=subset | {"ranks": ranks, "data": data}, workload={"overrides": overrides}
    )
    assert report["not_comparable_because"] == reasons
