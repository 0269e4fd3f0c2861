"""What the reports of all kinds of runs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload


class Figures(Protocol):
    """What both kinds of figures tell of their run."""

    @property
    def workload(self) -> Workload:
        """What was run."""

    @property
    def not_comparable_because(self) -> list[str]:
        """Why the figures cannot be held against those of the workload as it is published."""


def head_fields(schema: str, version: int, figures: Figures) -> dict[str, Any]:
    """Return the fields that a report begins with."""
    return {
        "schema": schema,
        "version": version,
        "benchmark_name": figures.workload.name,
        "scale": figures.workload.scale,
        "comparable": not figures.not_comparable_because,
        "not_comparable_because": figures.not_comparable_because,
    }


def environment_fields(environment: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says of its environment; null is what an older one lacks."""
    host = environment["host"]
    versions = host.get("versions", {})
    return {
        "dl_driver_version": None,  # of dl-driver's report, and no part of this run
        "cm4storage_version": versions.get("cm4storage"),
        "s3dlio_version": versions.get("s3dlio"),
        "git": environment.get("git"),
        "command": environment["command"],
        "host": {
            **{name: value for name, value in host.items() if name not in ("cpu", "memory")},
            "cpu_model": host.get("cpu", {}).get("model name"),
        },
        "file_system": environment.get("file_system"),
    }
