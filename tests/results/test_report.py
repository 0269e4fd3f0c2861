"""``report.json`` and ``report.csv``: names, schema, versions, and what they say of the run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from cm4storage.core.errors import UserError, redact_words
from cm4storage.results import file_system, records, source_state
from cm4storage.results.environment import networks
from cm4storage.results.report_reading import SCHEMA_FILE, read_report, upgrade
from cm4storage.results.time_series import HEADER

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
OLD = Path(__file__).parent / "old_reports"
DL_DRIVER_FIELDS = (
    "benchmark_name", "backend_type", "framework", "total_samples", "total_bytes",
    "throughput_samples_per_sec", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
    "io_p50_latency_ms", "io_p95_latency_ms", "io_p99_latency_ms", "decode_p50_latency_ms",
    "decode_p95_latency_ms", "decode_p99_latency_ms", "h2d_p50_latency_ms", "h2d_p95_latency_ms",
    "h2d_p99_latency_ms", "seed", "data_folder", "format", "batch_size", "read_threads", "shuffle",
    "dl_driver_version", "s3dlio_version", "total_execution_time_secs", "access_order_sample",
)  # fmt: skip
DL_DRIVER_COLUMNS = tuple(
    name
    for name in DL_DRIVER_FIELDS
    if name not in ("seed", "format", "total_execution_time_secs", "access_order_sample")
)
ADDED_FIELDS = (
    "au_mean_percent", "au_formula_variant", "retries", "errors", "cpu_seconds_per_gb",
    "peak_memory_bytes", "page_cache_before_percent", "workload_digest", "access_order_digest",
    "data_set.identity_digest", "data_set.content_digest", "host.cpu_model", "host.memory_bytes",
    "host.kernel", "host.networks", "host.versions", "file_system.type", "file_system.options",
    "git", "command", "settings",
)  # fmt: skip


@pytest.fixture(scope="session")
def schema():
    """Return the JSON Schema of the package."""
    return json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def value(report, name):
    """Return what a dotted name means; a KeyError says that it is not there."""
    head, _, rest = name.partition(".")
    return value(report[head], rest) if rest else report[head]


@pytest.mark.parametrize("name", [*DL_DRIVER_FIELDS, *ADDED_FIELDS])
def test_every_field_is_there(report, name):
    value(report, name)


def test_the_report_is_what_the_schema_says(report, schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema)
    assert set(report) == set(schema["properties"])


@pytest.mark.parametrize(
    ("name", "wrong"), [("total_bytes", -1), ("epochs", [{}]), ("host", None), ("au_met", "yes")]
)
def test_the_schema_refuses_what_is_wrong(report, schema, name, wrong):
    with pytest.raises(jsonschema.ValidationError, match=r"."):
        jsonschema.validate({**report, name: wrong}, schema)


def test_json_is_strict(run_folder):
    for path in run_folder.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_the_table_has_a_row_for_the_run_and_for_each_epoch(run_folder, report):
    table = pd.read_csv(run_folder / "report.csv")
    assert set(DL_DRIVER_COLUMNS) <= set(table.columns)
    assert len(set(table.columns)) == len(table.columns)
    assert list(table["row"]) == ["run", "epoch", "epoch"]
    run, *epochs = table.to_dict("records")
    assert run["total_bytes"] == report["total_bytes"] > 0
    assert run["dataset.num_files_train"] == 8
    assert run["train.computation_time"] == pytest.approx(0.001)
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert [row["rank"] for row in epochs] == [0, 0]
    expected = [epoch["au_percent"] for epoch in report["epochs"]]
    assert [row["au_percent"] for row in epochs] == pytest.approx(expected)


def test_what_the_client_spent(report):
    cpu_s = sum(epoch["cpu_seconds"] for epoch in report["epochs"])
    assert report["cpu_seconds"] == pytest.approx(cpu_s)
    assert report["cpu_seconds_per_gb"] == pytest.approx(cpu_s / report["total_bytes"] * 1e9)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    own_kib = int(re.search(r"VmHWM:\s+(\d+)", status)[1])
    # The kernel counts pages of each processor in lots, and so a later figure may be a little less.
    assert 2**20 < report["peak_memory_bytes"] <= own_kib * 1024 + 2**20


def test_the_peak_is_that_of_the_process_and_not_of_its_parent():
    ballast = b"x" * 2**27
    program = "from cm4storage.core.memory import peak_memory_bytes as p; print(p())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert 2**20 < int(done.stdout) < len(ballast)


def test_the_machine_as_other_programs_see_it(report, run_folder):
    host, found = report["host"], report["file_system"]
    assert host["kernel"] == os.uname().release
    assert host["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert report["cm4storage_version"] == host["versions"]["cm4storage"]
    command = ["stat", "-f", "-c", "%T", str(run_folder)]
    kind = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert kind.split("/")[0][:3] == {"overlay": "overlayfs"}.get(found["type"], found["type"])[:3]
    assert run_folder.resolve().is_relative_to(found["mount_point"])


def test_the_guide_names_every_field_and_column(schema):
    page = (GUIDE / "reading-the-report.md").read_text(encoding="utf-8")
    named = {
        name
        for cell in re.findall(r"^\|(.*?)\|", page, re.M)
        for name in re.findall(r"`(\w+)`", cell)
    }
    plain = {name for name in schema["properties"] if not name.endswith("_latency_ms")}
    assert plain - named == set()
    assert set(HEADER.strip().split(",")) - named == set()


# Versions


def test_a_report_of_version_1_is_read(report, tmp_path, schema):
    new = (*(name for name in ADDED_FIELDS[4:6]), "errors", "settings", "git", "file_system",
           "cpu_seconds", "dl_driver_version", "s3dlio_version", "cm4storage_version",
           "page_cache_before_percent", "page_cache_after_percent")  # fmt: skip
    old = {name: each for name, each in report.items() if name not in new} | {"version": 1}
    old["epochs"] = [
        {name: each for name, each in epoch.items() if "cpu" not in name and name != "order_digest"}
        for epoch in report["epochs"]
    ]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    upgraded = read_report(path)
    jsonschema.validate(upgraded, schema)
    assert upgraded["cpu_seconds"] is None
    assert upgraded["page_cache_before_percent"] == report["page_cache_before_percent"]
    assert upgraded["total_bytes"] == report["total_bytes"]
    assert read_report(path) == upgraded


def test_a_report_of_today_is_read_as_it_is(run_folder, report):
    assert read_report(run_folder / "report.json") == report


def test_a_report_that_a_release_of_version_1_wrote_is_read(schema):
    old = json.loads((OLD / "version_1.json").read_text(encoding="utf-8"))
    upgraded = read_report(OLD / "version_1.json")
    jsonschema.validate(upgraded, schema)
    assert (upgraded["checkpoint_written"], upgraded["checkpoint_stall_mean_s"]) == (None, None)
    assert (upgraded["checkpoints"], upgraded["plugins"]) == ([], {})
    # The digest was that of the first epoch; that of all cannot be known.
    assert upgraded["access_order_digest"] is None
    digests = [epoch["order_digest"] for epoch in upgraded["epochs"]]
    assert digests == [old["access_order_digest"], None]


def test_a_report_of_version_2_with_one_epoch_tells_the_order_of_all(report, schema):
    first = report["epochs"][0]["order_digest"]
    epoch = {name: each for name, each in report["epochs"][0].items() if name != "order_digest"}
    old = {**report, "version": 2, "access_order_digest": first, "epochs": [epoch]}
    upgraded = upgrade(old, "report.json")
    jsonschema.validate(upgraded, schema)
    assert upgraded["access_order_digest"] == upgraded["epochs"][0]["order_digest"] == first


def test_a_record_of_version_5_is_read(run_folder, tmp_path):
    record = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    now = records.load(run_folder)
    first = record["epochs"][0]["order_digest"]
    for each in record["epochs"]:
        del each["order_digest"]
    old = {**record, "version": 5, "order": record["order"] | {"digest": first}}
    (tmp_path / "run.json").write_text(json.dumps(old), encoding="utf-8")
    read = records.load(tmp_path)
    assert now.order["digest"] not in (None, first)
    assert read.order["digest"] is None
    assert [epoch.order_digest for epoch in read.epochs] == [first, None]


@pytest.mark.parametrize("version", [4, 99, 0, "2", None])
def test_a_report_of_a_newer_release_is_refused(report, version):
    with pytest.raises(UserError, match="use the release that wrote it, or a newer one"):
        upgrade({**report, "version": version}, "report.json")


@pytest.mark.parametrize("document", [[], {}, {"schema": "other"}, None])
def test_what_is_no_report_is_refused(document):
    with pytest.raises(UserError, match="no report of a run"):
        upgrade(document, "report.json")


# Secrets


def test_a_command_is_shown_without_secrets():
    words = [
        "--params=a.b=1 storage.secret_access_key=hush 'x.sas_token=hu sh' c=2",
        "--password", "hush", "--account_key=hush/==", "--data_dir=s3://me:hush@host/x?sig=hush",
        "--seed=3",
    ]  # fmt: skip
    shown = " ".join(redact_words(words))
    assert "hush" not in shown
    assert "a.b=1" in shown
    assert "c=2" in shown
    assert shown.endswith("--seed=3")


# Where the kernel tells


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 0:40 / /mnt/a\\040b rw master:2 shared:9 - cifs //host/share rw,username=me,password=hush
31 22 0:41 / /mnt/a\\040b/deep rw - fuse.dav https://me:hush@host/dav rw
32 22 0:42 / /mnt/a\\040b/deep ro - tmpfs tmpfs rw,size=1k
"""


def describe(tmp_path, folder):
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS, encoding="ascii")
    return file_system.describe(Path(folder), table)


def test_the_deepest_and_last_mount_counts(tmp_path):
    assert describe(tmp_path, "/mnt")["type"] == "ext4"
    assert describe(tmp_path, "/mnt/a bc")["mount_point"] == "/"
    found = describe(tmp_path, "/mnt/a b/x/y")
    assert found["mount_point"] == "/mnt/a b"
    assert found["options"] == "rw,username=me,password=***"
    assert describe(tmp_path, "/mnt/a b/deep/z")["options"] == "ro,rw,size=1k"
    assert file_system.Mount.parse(MOUNTS.splitlines()[2]).source == "https://***@host/dav"


@pytest.mark.parametrize("text", ["", "nonsense\n", "22 1 8:1 / / rw - \n"])
def test_a_table_of_mounts_that_says_nothing(tmp_path, text):
    table = tmp_path / "mountinfo"
    table.write_text(text, encoding="ascii")
    assert file_system.describe(tmp_path, table) is None
    assert file_system.describe(tmp_path, tmp_path / "missing") is None


def test_a_partition_is_described_with_its_disk(tmp_path):
    disk = tmp_path / "devices" / "sda"
    files = {
        "sda1/partition": "1", "queue/rotational": "0", "queue/scheduler": "none [bfq] kyber",
        "device/model": "DISK 9000  ", "size": "2048", "queue/logical_block_size": "512",
        "queue/read_ahead_kb": "128",
    }  # fmt: skip
    for name, text in files.items():
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_text(f"{text}\n", encoding="ascii")
    (tmp_path / "8:1").symlink_to(disk / "sda1")
    assert file_system.block_device("8:1", tmp_path) == {
        "name": "sda1", "model": "DISK 9000", "size_bytes": 2**20, "rotational": False,
        "scheduler": "bfq", "logical_block_bytes": 512, "read_ahead_bytes": 131072, "made_of": [],
    }  # fmt: skip
    assert file_system.block_device("0:40", tmp_path) is None


def test_networks_have_speeds_where_they_say_so(tmp_path):
    for name, speed in (("lo", "1"), ("eth0", "25000\n"), ("eth1", "-1\n"), ("wlan0", None)):
        (tmp_path / name).mkdir()
        if speed:
            (tmp_path / name / "speed").write_text(speed, encoding="ascii")
    speeds = {each["name"]: each["speed_mbit_per_s"] for each in networks(tmp_path)}
    assert speeds == {"eth0": 25000, "eth1": None, "wlan0": None}


def test_git_tells_commit_and_changes(tmp_path):
    assert source_state.describe(tmp_path) is None
    (tmp_path / "file").write_text("a", encoding="ascii")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    found = source_state.describe(tmp_path)
    assert found["dirty"] is False
    assert len(found["commit"]) == 40
    (tmp_path / "file").write_text("b", encoding="ascii")
    assert source_state.describe(tmp_path) == found | {"dirty": True}
