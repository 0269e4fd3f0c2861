"""The project's texts speak of the project only."""

from __future__ import annotations

import re
from pathlib import Path

from source_trees import ROOT

TEXTS = ("*.md", "*.py", "*.sh", "*.yaml", "*.yml", "*.toml", "*.json", "*.html")
FOLDERS = ("src", "automation", "script", "tools", "tests", "bench", "docs", ".github", ".ci")
PRIVATE = {
    "a folder of one developer's machine": re.compile(r"(?<![\w.*}\"'])/(?:work|root)/\w"),
    "a number in a private list": re.compile(r"\bissue #?\d+\b", re.IGNORECASE),
    "a folder beside the checkout": re.compile(r"\.\./shared\b"),
}


def texts() -> list[Path]:
    """Return the project's text files."""
    inside = [file for name in FOLDERS for kind in TEXTS for file in (ROOT / name).rglob(kind)]
    return [*inside, *(ROOT.glob("*.md")), ROOT / "pyproject.toml", ROOT / "bootstrap"]


def test_no_text_names_what_a_reader_cannot_see() -> None:
    own = Path(__file__)
    found = [
        f"{file.relative_to(ROOT)}: {what}"
        for file in texts()
        if file != own
        for what, pattern in PRIVATE.items()
        if pattern.search(file.read_text(encoding="utf-8"))
    ]
    assert found == []
