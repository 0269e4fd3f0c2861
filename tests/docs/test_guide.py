"""Every command of the guide and the README runs, and prints what the page shows.

A block that begins with three backquotes and ``console`` holds commands, each after ``$ ``, and
what they print. ``...`` stands for any lines. Numbers, times, digests and folders may differ.
A block marked ``exit=N`` ends with that exit code. A block of another language that is marked
``file=NAME`` is written to that file before what follows it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted((CHECKOUT / "docs" / "guide").glob("*.md"))
BIN = Path(sys.executable).parent

_BLOCK = re.compile(
    r"^```(?:console(?: exit=(?P<code>\d+))?|\w+ file=(?P<file>[\w.]+))\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_VARIABLE = re.compile(
    r"file:///\S+|(?<![\w.])/\S+|\b[0-9a-f]{12,32}\b|\d+(,\d{3})*(\.\d+)?( (us|ms|s|min)\b)?"
)


def plain(line):
    """Return a line with what differs between runs replaced."""
    return " ".join(_VARIABLE.sub("#", line).split())


def commands_of(block):
    """Yield each command of a block and the lines that it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, [plain(line) for line in shown.splitlines() if line.strip()]


def assert_shown(shown, output):
    """Check that the lines of the page come in this order, with others only where ``...`` is."""
    lines = [plain(line) for line in output.splitlines() if line.strip()]
    at, any_before = 0, False
    for line in shown:
        if line == "...":
            any_before = True
            continue
        found = lines.index(line, at) if line in lines[at:] else None
        assert found is not None, f"{line!r} is not in:\n" + "\n".join(lines[at:])
        assert any_before or found == at, f"unexpected before {line!r}: {lines[at:found]}"
        at, any_before = found + 1, False
    assert any_before or at == len(lines), f"not on the page: {lines[at:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, tmp_path):
    host = {k: v for k, v in os.environ.items() if not k.startswith("MLPERF_STORAGE_")}
    env = host | {
        "CM_REPOS": str(tmp_path / "CM"),
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run(
        [BIN / "cm", "init", "repo", f"--path={CHECKOUT}"], env=env, check=True, cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"], encoding="utf-8")
            continue
        for command, shown in commands_of(block["text"]):
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=env, text=True, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            assert done.returncode == int(block["code"] or 0), f"$ {command}\n{done.stdout}"
            assert_shown(shown, done.stdout)
