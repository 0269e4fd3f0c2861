"""The files that DLIO and MLPerf Storage's runner leave, field by field."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
import yaml

import cm4storage
from cm4storage.results.summary import write_dlio_files

PARAMS = (
    "dataset.num_files_train=4 dataset.num_files_eval=2 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 reader.batch_size_eval=1 train.computation_time=0.001 train.epochs=2 "
    "workflow.evaluation=True workflow.checkpoint=True checkpoint.checkpoint_after_epoch=1 "
    "checkpoint.epochs_between_checkpoints=1 model.model_size_bytes=4096"
)
SUMMARY = (
    "start", "num_accelerators", "num_hosts", "hostname", "metric", "num_files_train",
    "num_files_eval", "num_samples_per_file", "host_cpu_count", "host_processor_name",
    "potential_caching", "host_cpuinfo", "host_meminfo", "host_memory_GB", "data_size_per_host_GB",
    "epochs", "end",
)  # fmt: skip
PHASE_METRICS = (
    "au_percentage", "au_mean_percentage", "au_meet_expectation", "au_stdev_percentage",
    "throughput_samples_per_second", "throughput_mean_samples_per_second",
    "throughput_stdev_samples_per_second", "io_mean_MB_per_second", "io_stdev_MB_per_second",
)  # fmt: skip
CHECKPOINT_METRICS = (
    "save_checkpoint_io_mean_GB_per_second", "save_checkpoint_io_stdev_GB_per_second",
    "save_checkpoint_duration_mean_seconds", "save_checkpoint_duration_stdev_seconds",
    "checkpoint_size_GB",
)  # fmt: skip
OUTPUT = (
    "host_memory_GB", "host_cpu_count", "host_processor_name", "potential_caching",
    "host_cpuinfo", "host_meminfo", "hostname", "1", "2",
)  # fmt: skip
OUTPUT_EPOCH = ("load", "proc", "compute", "throughput", "au", "host_meminfo", "end")
STATS_EPOCH = ("start", "block1", "save_ckpt1", "eval", "end", "duration")
CONFIG = ("model", "framework", "workflow", "dataset", "reader", "train", "checkpoint")
METADATA = (
    "args", "debug", "run_datetime", "run_number", "runtime", "command_output_files",
    "run_result_output", "metadata_filename", "metadata_file_path",
    "_config_name", "base_command", "base_path", "base_command_path", "config_path",
    "per_host_mem_kB", "total_mem_kB", "config_file", "params_dict", "yaml_params",
    "combined_params", "executed_command", "benchmark_type", "model", "command", "num_processes",
    "accelerator", "result_dir", "parameters", "override_parameters", "system_info",
)  # fmt: skip
OURS = {"cm4storage_not_comparable_because"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a report with evaluations and checkpoints, and the folder that it is saved in."""
    folder = tmp_path_factory.mktemp("dlio")
    workload = cm4storage.load_workload("unet3d_h100", PARAMS, scale="quick")
    report = cm4storage.run(workload, data_dir=folder / "data")
    return report, report.save(folder / "run")


@pytest.fixture(scope="module")
def read(run):
    """Return what reads a JSON file of the run strictly."""
    return lambda name: json.loads((run[1] / name).read_text(), parse_constant=pytest.fail)


def test_summary(read):
    summary = read("summary.json")
    assert set(summary) - OURS == set(SUMMARY)
    phases = {f"{phase}_{name}" for phase in ("train", "eval") for name in PHASE_METRICS}
    assert set(summary["metric"]) == phases | set(CHECKPOINT_METRICS)
    for name in ("host_cpu_count", "potential_caching", "host_memory_GB"):
        assert len(summary[name]) == summary["num_hosts"] == 1
    assert len(summary["metric"]["train_au_percentage"]) == summary["epochs"] == 2
    assert summary["metric"]["train_au_meet_expectation"] in ("success", "fail")
    assert re.fullmatch(r"\d+ kB", summary["host_meminfo"]["Cached"])
    assert datetime.fromisoformat(summary["start"]) < datetime.fromisoformat(summary["end"])


def test_output_of_a_rank(read):
    output = read("0_output.json")
    assert set(output) - OURS == set(OUTPUT)
    for number in ("1", "2"):
        epoch = output[number]
        assert set(epoch) == set(OUTPUT_EPOCH)
        for name in OUTPUT_EPOCH[:5]:
            assert set(epoch[name]) == {"block1", "eval"}
        steps = [len(epoch[name]["block1"]) for name in ("load", "proc", "compute")]
        assert steps == [2, 2, 2]


def test_statistics_of_epochs(read):
    stats = read("0_per_epoch_stats.json")
    assert set(stats) == {"1", "2"}
    for epoch in stats.values():
        assert set(epoch) - OURS == set(STATS_EPOCH)
        assert set(epoch["block1"]) == set(epoch["eval"]) == {"start", "end", "duration"}
        assert set(epoch["save_ckpt1"]) == {"start", "end", "duration", "throughput"}
        assert re.fullmatch(r"\d+\.\d\d", epoch["duration"])
        datetime.strptime(epoch["start"], "%Y-%m-%dT%H:%M:%S.%f")  # noqa: DTZ007 - as DLIO writes it


def test_log(run):
    lines = (run[1] / "dlio.log").read_text().splitlines()
    assert all(
        re.match(r"\[(OUTPUT|METRIC)\] \d{4}-\d\d-\d\dT[\d:.]{15} \S", each) for each in lines
    )
    for text in (
        "Running DLIO with 1 process(es)",
        "Starting epoch 2",
        "train_au_meet_expectation",
    ):
        assert any(text in line for line in lines)


def test_configuration(run):
    read = {
        name: yaml.safe_load((run[1] / "dlio_config" / f"{name}.yaml").read_text())
        for name in ("config", "hydra", "overrides")
    }
    assert set(CONFIG) <= set(read["config"]["workload"])
    first, *others = read["overrides"]
    assert first == "workload=unet3d_h100"
    assert all(each.startswith("++workload.") for each in others)
    assert read["hydra"]["hydra"]["overrides"]["task"] == read["overrides"]
    runtime = read["hydra"]["hydra"]["runtime"]
    assert runtime["choices"] == {"workload": "unet3d_h100"}
    # The files are written before their folder has its name.
    assert (read["hydra"]["hydra"]["run"]["dir"], runtime["output_dir"]) == (".", ".")


def test_metadata_of_the_runner(run):
    report, folder = run
    [path] = folder.glob("*_metadata.json")
    document = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert set(document) - OURS == set(METADATA)
    assert path.name == f"training_{document['run_datetime']}_metadata.json"
    assert document["metadata_filename"] == path.name
    assert document["benchmark_type"] == "training"
    assert document["parameters"]["reader"]["batch_size"] == 2
    assert document["override_parameters"]["reader.batch_size"] == 2
    write_dlio_files(report.figures, folder)
    assert list(folder.glob("*_metadata.json")) == [path]
