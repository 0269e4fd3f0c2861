"""``<benchmark>_<time>_metadata.json``: what MLPerf Storage's runner writes beside DLIO's files.

Its checkers judge each folder with one such file, and stop at a workload that is not theirs: other
runs have none. Names: those of ``mlpstorage`` 2.0, and those of 3.0. What that runner has and this
project has not, such as a base command, is null; its verdict is left out, since 3.0 would take null
for text. Paths are relative to the file, since a folder of results is renamed when it is complete,
and moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from cm4storage.core.errors import redact_urls
from cm4storage.core.files import write_json_atomically
from cm4storage.workload.entries import nested

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.results.checkpoint_records import CheckpointRunRecord
    from cm4storage.results.records import RunRecord
    from cm4storage.workload.model import Workload

_HERE = "."

_TRAINED = ("cosmoflow", "dlrm", "flux", "resnet50", "retinanet", "unet3d")
"""The models of its trainings in 1.0 to 3.0; each comes with an accelerator."""

_WRITTEN = {f"llama_{size}": f"llama3-{size}" for size in ("8b", "70b", "405b", "1t")}
"""Its names of the models whose checkpoints are written, by the names in the workloads."""


@dataclass(frozen=True)
class BenchmarkRun:
    """What the file tells of a run.

    Attributes
    ----------
    benchmark : {'training', 'checkpointing'}
    record : RunRecord or CheckpointRunRecord
    workload : Workload
    place : dict
        Where the data are, by the name of the runner's argument.
    processes : int
    not_comparable_because : list of str
    """

    benchmark: Literal["training", "checkpointing"]
    record: RunRecord | CheckpointRunRecord
    workload: Workload
    place: dict[str, str]
    processes: int
    not_comparable_because: list[str]

    @property
    def moment(self) -> str:
        """The start, as folders of results are named."""
        return f"{datetime.fromisoformat(self.record.start):%Y%m%d_%H%M%S}"

    @property
    def model(self) -> str:
        """The runner's name of the model; empty where it knows no such workload."""
        name, accelerator = self.workload.model.name, self.workload.accelerator
        if self.benchmark == "checkpointing":
            return _WRITTEN.get(name, "")
        return name if accelerator and name in _TRAINED else ""

    @property
    def overrides(self) -> dict[str, Any]:
        """What was changed in the workload, by key."""
        given: dict[str, Any] = self.record.workload["overrides"]
        return given


def write_metadata(run: BenchmarkRun, folder: Path) -> None:
    """Write the file of a workload that the runner knows.

    One that is there is written anew, whatever time is in its name.
    """
    if not run.model:
        return
    there = sorted(folder.glob(f"{run.benchmark}_*_metadata.json"))
    path = there[0] if there else folder / f"{run.benchmark}_{run.moment}_metadata.json"
    write_json_atomically(path, metadata(run, path.name))


def metadata(run: BenchmarkRun, file_name: str) -> dict[str, Any]:
    """Return the content of the file, without secrets of URLs."""
    document: dict[str, Any] = redact_urls(_document(run, file_name))
    return document


def _document(run: BenchmarkRun, file_name: str) -> dict[str, Any]:
    settings = nested(run.workload.settings())
    version_3 = {
        "benchmark_type": run.benchmark,
        "model": run.model,
        "command": "run",
        "run_datetime": run.moment,
        "num_processes": run.processes,
        "accelerator": run.workload.accelerator,
        "result_dir": _HERE,
        "parameters": settings,
        "override_parameters": run.overrides,
        "system_info": {"hosts": [_host(run.record.environment["host"])]},
    }
    reasons = run.not_comparable_because
    mark = {"cm4storage_not_comparable_because": reasons} if reasons else {}
    return version_3 | _version_2(run, file_name, settings) | mark


def _version_2(run: BenchmarkRun, file_name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what version 2.0 has of its own."""
    record = run.record
    memory_kib = record.environment["host"]["memory_bytes"] // 1024
    begin, end = map(datetime.fromisoformat, (record.start, record.end))
    return {
        "args": _arguments(run),
        "debug": False,
        "run_number": 0,
        "runtime": (end - begin).total_seconds(),
        "command_output_files": [],
        "run_result_output": _HERE,
        "metadata_filename": file_name,
        "metadata_file_path": file_name,
        "_config_name": run.workload.name,
        "base_command": None,
        "base_path": None,
        "base_command_path": None,
        "config_path": None,
        "per_host_mem_kB": memory_kib,
        "total_mem_kB": memory_kib,
        "config_file": record.workload["source"],
        "params_dict": run.overrides,
        "yaml_params": settings,
        "combined_params": settings,
        "executed_command": record.environment["command"],
    }


def _arguments(run: BenchmarkRun) -> dict[str, Any]:
    """Return what the runner's command line would have been."""
    return {
        "program": run.benchmark,
        "command": "run",
        "model": run.model,
        "accelerator_type": run.workload.accelerator,
        "num_accelerators": run.processes,
        "num_processes": run.processes,
        "num_client_hosts": 1,
        "hosts": [run.record.environment["host"]["hostname"]],
        **run.place,
        **_counts(run),
        "results_dir": _HERE,
        "params": [f"{name}={value}" for name, value in run.overrides.items()],
    }


def _counts(run: BenchmarkRun) -> dict[str, int]:
    """Return how many checkpoints were to be written and read; 3.0 tells its two phases by them."""
    if run.benchmark != "checkpointing":
        return {}
    checkpoint = run.workload.checkpoint
    return {
        "num_checkpoints_write": max(0, checkpoint.num_checkpoints_write),
        "num_checkpoints_read": max(0, checkpoint.num_checkpoints_read),
    }


def _host(host: dict[str, Any]) -> dict[str, Any]:
    return {
        "hostname": host["hostname"],
        "cpu": {"num_cores": host["cpu_count"], "model": host.get("cpu", {}).get("model name")},
        "memory": {"total": host["memory_bytes"]},
    }
