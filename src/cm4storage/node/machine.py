"""Checks of the machine: interpreter, shell, limits, memory, clock, loopback interface."""

from __future__ import annotations

import importlib.util
import resource
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.units import GIB, format_bytes
from cm4storage.node.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLDEST_PYTHON = (3, 10)
_LEAST_OPEN_FILES = 1024
_LEAST_MEMORY_BYTES = 2 * GIB
_SLOW_CLOCKS = ("acpi_pm", "hpet", "jiffies", "refined-jiffies", "pit")
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def check_machine() -> Iterator[Finding]:
    """Yield what is found about the machine."""
    yield _interpreter()
    yield _venv_module()
    yield _bash()
    yield _loopback()
    yield _open_files()
    yield _memory()
    yield _clock()


def _interpreter() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    found = f"{version} at {sys.executable}"
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return problem(
            "interpreter", found, "Python 3.10 or newer is needed", "run cm by a newer Python"
        )
    return ok("interpreter", found)


def _venv_module() -> Finding:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        return warning(
            "venv module",
            f"{' and '.join(missing)} missing",
            "no virtual environment can be made where this Python lacks a package",
            "install it: apt install python3-venv",
        )
    return ok("venv module", "there")


def _bash() -> Finding:
    path = shutil.which("bash")
    if path is None:
        return problem(
            "bash",
            "not in PATH",
            "the run.sh of a recipe cannot be started",
            "install it: apt install bash",
        )
    return ok("bash", path)


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            with socket.create_connection(address, timeout=5):
                return ok("loopback ports", "a server on 127.0.0.1 can be reached")
    except OSError as error:
        return problem(
            "loopback ports",
            f"no server on 127.0.0.1 can be reached: {error.strerror or error}",
            "the embedded S3 server cannot work; local files can",
            "switch the interface on: ip link set lo up",
        )


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _LEAST_OPEN_FILES:
        return warning(
            "open files",
            f"{soft} at most (ulimit -n), {hard} allowed",
            "many reader threads, or the embedded server, may fail to open a file",
            f"raise it before the run: ulimit -n {max(_LEAST_OPEN_FILES, min(hard, 65536))}",
        )
    return ok("open files", f"{soft} at most (ulimit -n)")


def _memory() -> Finding:
    available_bytes = _available_memory_bytes()
    if available_bytes is None:
        return ok("memory", "unknown here")
    found = f"{format_bytes(available_bytes)} available"
    if available_bytes < _LEAST_MEMORY_BYTES:
        return warning(
            "memory",
            found,
            "samples are held in memory before they are used: large workloads may be killed",
            "end other work, or lower reader.prefetch_size and reader.read_threads",
        )
    return ok("memory", found)


def _available_memory_bytes() -> int | None:
    """Return what the machine, and the group of processes that we are in, still have."""
    found = []
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    limit = _text(_CGROUP_LIMIT).strip()
    if limit.isdigit():
        used = _text(_CGROUP_LIMIT.with_name("memory.current")).strip()
        found.append(int(limit) - (int(used) if used.isdigit() else 0))
    return min(found, default=None)


def _clock() -> Finding:
    name = _text(_CLOCK).strip()
    if name in _SLOW_CLOCKS:
        return warning(
            "clock source",
            name,
            "reading the time takes microseconds, and short latencies are seen too long",
            f"see whether another is available: cat {_CLOCK.with_name('available_clocksource')}",
        )
    return ok("clock source", name or "unknown here")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
