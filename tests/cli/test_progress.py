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


def test_a_bar_shows_the_last_detail(terminal):
    progress = terminal.progress()
    progress.start("training", 10, "step")
    progress.advance(4)
    progress.advance(0, "AU 12.3 %, 4.5 MiB/s")
    progress.tell("epoch 1: AU 99.9 % [of 100]")
    progress.finish()
    drawn = terminal.drawn()
    assert "4/10 steps" in drawn
    assert "epoch 1: AU 99.9 % [of 100]" in drawn


@pytest.mark.parametrize("columns", ["20", "80"])
def test_a_narrow_terminal_still_has_its_bar(terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    progress = terminal.progress()
    progress.start("training", 10, "step")
    progress.advance(0, "AU 12.3 %, 4,512.3 MiB/s, wait P99 3.21 ms, 0 errors")
    progress.finish()
    assert "training"[:3] in terminal.drawn()


def test_lines_tell_what_has_changed_and_leave_details_out(capsys):
    progress = Console().progress()
    progress.start("training", 2, "step")
    progress.advance(0, "AU 12.3 %")
    progress.advance(2)
    progress.tell("epoch 1: 2 steps")
    progress.finish()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["training: 2 steps", "epoch 1: 2 steps"]
    assert len(lines) == 3


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


def test_one_is_no_plural(capsys):
    progress = Console().progress()
    progress.start("reading", 1, "run")
    progress.advance(1)
    progress.finish()
    first, last = capsys.readouterr().err.splitlines()
    assert first == "reading: 1 run"
    assert last.startswith("reading: done after 1 run in ")
