"""``cm-result.json`` is a flat list, as CM's experiment viewers want it."""

from __future__ import annotations

import json

import pandas as pd
import pytest


def test_the_list_is_flat_and_a_table(run_folder, report):
    records = json.loads((run_folder / "cm-result.json").read_text(encoding="utf-8"))
    [record] = records
    assert all(isinstance(value, (str, int, float)) for value in record.values())
    assert len(record["uid"]) == 16
    assert record["iso_datetime"] == report["start"]
    assert record["Result"] == report["throughput_samples_per_sec"]
    assert record["data_set.identity_digest"] == report["data_set"]["identity_digest"]
    table = pd.read_json(run_folder / "cm-result.json")
    assert table["io_p99_latency_ms"][0] == pytest.approx(report["io_p99_latency_ms"])
    assert table["Model"][0] == "unet3d_h100"
