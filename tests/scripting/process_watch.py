"""Looking at the processes of this machine, and waiting for what they do."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def running(marker: str) -> list[int]:
    """Return the processes whose environment or command line holds `marker`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in text and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def running_threads(process: str) -> list[str]:
    """Return the threads of a process that run, whatever its main thread does."""
    found = []
    for stat in Path("/proc", process, "task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append(stat.parent.name)
    return found


def has_open(process: int, path: Path) -> bool:
    """Tell whether a process has a file open."""
    for link in Path("/proc", str(process), "fd").iterdir():
        with contextlib.suppress(OSError):
            if link.readlink() == path:
                return True
    return False


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> bool:
    """Wait until `condition` holds; False if it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.02)
    return False
