"""Processes of embedded servers, as somebody from outside finds them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def server_in(folder: Path) -> int:
    """Return the process of the server whose data folder this is."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    (pid,) = found
    return pid
