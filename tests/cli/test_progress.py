"""Progress as users see it: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import re

import pytest

from cm4storage.report.console import Console


class Terminal:
    """A terminal in the place of standard error."""

    def __init__(self, monkeypatch):
        self._ours, theirs = os.openpty()
        self._stream = os.fdopen(theirs, "w")
        os.set_blocking(self._ours, False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        self._monkeypatch = monkeypatch

    def progress(self):
        """Return what draws progress there."""
        self._monkeypatch.setattr("sys.stderr", self._stream)
        return Console().progress()

    def drawn(self):
        """Return what was drawn, without the codes that move the cursor."""
        drawn = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                drawn += os.read(self._ours, 65536)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())

    def close(self):
        self._stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch):
    """Return a terminal."""
    made = Terminal(monkeypatch)
    yield made
    made.close()


def test_a_bar_of_files_starts_at_what_is_there(terminal):
    progress = terminal.progress()
    progress.start("generating", 100, "file", 40)
    progress.advance(20)
    progress.finish()
    drawn = terminal.drawn()
    assert "generating" in drawn
    assert drawn.index("40/100 files") < drawn.index("60/100 files")


def test_a_bar_of_bytes_ends_full(terminal):
    progress = terminal.progress()
    progress.start("generating", 3 * 2**20, "B", 2**20)
    progress.advance(2 * 2**20)
    progress.finish()
    assert "3.0/3.0 MiB" in terminal.drawn()


@pytest.mark.parametrize(
    ("advance", "end"), [(60, "done after 60 files"), (5, "stopped after 5 files")]
)
def test_lines_tell_what_was_there_before(capsys, advance, end):
    progress = Console().progress()
    progress.start("generating", 100, "file", 40)
    progress.advance(advance)
    progress.finish()
    first, last = capsys.readouterr().err.splitlines()
    assert first == "generating: 100 files, 40 files of it done before"
    assert last.startswith(f"generating: {end} in ")


def test_lines_without_anything_before(capsys):
    progress = Console().progress()
    progress.start("generating", 2048, "B")
    progress.finish()
    assert capsys.readouterr().err.splitlines()[0] == "generating: 2.0 KiB"
