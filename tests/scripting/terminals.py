"""A terminal for a command: what a person would see, and keys that are typed."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipe_books import CM

ROWS, COLUMNS = 33, 77


@dataclass
class Terminal:
    """A pseudo-terminal on which cm runs."""

    cm: CM
    shown: str = ""
    process: subprocess.Popen[bytes] = field(init=False)
    _ours: int = field(init=False)

    def start(self, *words: str) -> None:
        """Start cm with all its streams on the terminal."""
        self._ours, theirs = os.openpty()
        self.resize(ROWS, COLUMNS)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *self.cm.command(*words)],
            cwd=self.cm.caller,
            env={**self.cm.environment, "TERM": "xterm", "SHELL": "/bin/bash"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        """Type keys."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str, timeout_s: float = 30.0) -> None:
        """Read until the terminal has shown a text."""
        deadline_s = time.monotonic() + timeout_s
        while text not in self.shown:
            assert time.monotonic() < deadline_s, f"{text!r} is not in {self.shown!r}"
            assert self._read() or text in self.shown, self.shown

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:  # the last process on the terminal has ended
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
