"""What the reports of all kinds of runs say of the environment in a record."""

from __future__ import annotations

from typing import Any


def environment_fields(environment: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a report; null is what the record, an older one, lacks."""
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
