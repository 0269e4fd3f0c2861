"""``training_<time>_metadata.json``: what MLPerf Storage's runner writes beside DLIO's files.

Its checkers want one such file in the folder of each run. Names: those of ``mlpstorage`` 2.0, and
those of 3.0. What that runner has and this project has not, such as a base command, is null.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import redact_url
from cm4storage.core.files import write_json_atomically
from cm4storage.workload.entries import nested

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.results.figures import RunFigures

BENCHMARK_TYPE = "training"


def write_metadata(figures: RunFigures, folder: Path) -> None:
    """Write the file; one that is there is written anew, whatever time is in its name."""
    moment = datetime.fromisoformat(figures.record.start)
    name = f"{BENCHMARK_TYPE}_{moment:%Y%m%d_%H%M%S}_metadata.json"
    path = next(iter(sorted(folder.glob(f"{BENCHMARK_TYPE}_*_metadata.json"))), folder / name)
    write_json_atomically(path, metadata(figures, path))


def metadata(figures: RunFigures, path: Path) -> dict[str, Any]:
    """Return the content of the file at `path`."""
    record, workload = figures.record, figures.workload
    moment = datetime.fromisoformat(record.start)
    settings = nested(workload.settings())
    overrides = {name: _shown(value) for name, value in record.workload["overrides"].items()}
    command = record.environment["command"]
    version_3 = {
        "benchmark_type": BENCHMARK_TYPE,
        "model": workload.model.name,
        "command": "run",
        "run_datetime": f"{moment:%Y%m%d_%H%M%S}",
        "num_processes": 1,
        "accelerator": workload.accelerator,
        "result_dir": str(path.parent),
        "parameters": settings,
        "override_parameters": overrides,
        "system_info": {"hosts": [_host(record.environment["host"])]},
    }
    version_2 = _version_2(figures, path, settings, overrides) | {"executed_command": command}
    reasons = figures.not_comparable_because
    mark = {"cm4storage_not_comparable_because": reasons} if reasons else {}
    return version_3 | version_2 | mark


def _version_2(
    figures: RunFigures, path: Path, settings: dict[str, Any], overrides: dict[str, Any]
) -> dict[str, Any]:
    """Return what version 2.0 has of its own."""
    record, workload = figures.record, figures.workload
    memory_kib = record.environment["host"]["memory_bytes"] // 1024
    begin, end = map(datetime.fromisoformat, (record.start, record.end))
    args = {
        "program": "training",
        "command": "run",
        "model": workload.model.name,
        "accelerator_type": workload.accelerator,
        "num_accelerators": 1,
        "num_client_hosts": 1,
        "hosts": [record.environment["host"]["hostname"]],
        "data_dir": record.data_set["uri"],
        "results_dir": str(path.parent),
        "params": [f"{name}={value}" for name, value in overrides.items()],
    }
    return {
        "args": args,
        "debug": False,
        "run_number": 0,
        "runtime": (end - begin).total_seconds(),
        "verification": None,
        "command_output_files": [],
        "run_result_output": str(path.parent),
        "metadata_filename": path.name,
        "metadata_file_path": str(path),
        "_config_name": workload.name,
        "base_command": None,
        "base_path": None,
        "base_command_path": None,
        "config_path": None,
        "per_host_mem_kB": memory_kib,
        "total_mem_kB": memory_kib,
        "config_file": record.workload["source"],
        "params_dict": overrides,
        "yaml_params": settings,
        "combined_params": settings,
    }


def _host(host: dict[str, Any]) -> dict[str, Any]:
    return {
        "hostname": host["hostname"],
        "cpu": {"num_cores": host["cpu_count"], "model": host.get("cpu", {}).get("model name")},
        "memory": {"total": host["memory_bytes"]},
    }


def _shown(value: Any) -> Any:
    return redact_url(value) if isinstance(value, str) else value
