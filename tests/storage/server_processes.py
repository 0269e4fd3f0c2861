"""What the tests of embedded servers ask about processes, and the users that they start."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cm4storage

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(cm4storage.__file__).resolve().parents[1]


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 60.0) -> None:
    """Poll until `condition` is true; the limit is far above what a loaded machine needs."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s in vain: {what}"
        time.sleep(0.02)


def processes_of(folder: Path) -> dict[int, str]:
    """Return the live processes, by id, that name `folder` or work in it, with their names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError, IndexError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            works_there = (entry / "cwd").readlink() == folder
            supervises = b"cm4storage.storage.embedded" in arguments
            if works_there or (supervises and os.fsencode(folder) in arguments):
                found[int(entry.name)] = "supervisor" if supervises else "server"
    return found


def pid_of(folder: Path, role: str) -> int:
    """Return the one process of `folder` with this role."""
    found = [pid for pid, name in processes_of(folder).items() if name == role]
    assert len(found) == 1, processes_of(folder)
    return found[0]


class User:
    """Another process that uses a server until its standard input ends."""

    PROGRAM = """
import json, sys
from pathlib import Path
from cm4storage.storage import embedded
share = sys.argv[3:] == ["share"]
with embedded.connect(Path(sys.argv[1]), sys.argv[2], share_lifeline=share) as server:
    print(json.dumps([server.endpoint_url, server.access_key_id]), flush=True)
    sys.stdin.read()
"""

    def __init__(self, folder: Path, kind: str, *arguments: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, str(folder), kind, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **({"env": os.environ | {"PYTHONPATH": str(SOURCE)}} | options),
        )

    def answer(self) -> str:
        """Wait until the user is connected; return what it was told."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the user failed: {self.process.communicate()}")
        return line

    def leave(self) -> None:
        """End it in the orderly way."""
        _, errors = self.process.communicate("")
        assert self.process.returncode == 0, errors

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.communicate()
