"""What a check found in a recipe, and where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.core.records import asdict, dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One breach of a rule.

    Parameters
    ----------
    file : Path
        Where it is.
    line : int
        From 1 on.
    rule : str
        The rule's name.
    what : str
        What is wrong, in one line.
    advice : str, optional
        What to do about it.
    """

    file: Path
    line: int
    rule: str
    what: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "file": str(self.file)}


class ChecksFailed(UserError):
    """What was checked is not as it should be.

    Parameters
    ----------
    what : str
        The outcome, in one line.
    result : dict
        What was found: part of the answer, beside the error.
    """

    def __init__(self, what: str, result: dict[str, Any], *, advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.result = result


def sorted_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings by file and line."""
    return sorted(findings, key=lambda f: (str(f.file), f.line, f.rule, f.what))


def shown_path(path: Path, folder: Path) -> str:
    """Return a path as a person in `folder` would write it."""
    relative = os.path.relpath(path, folder)
    return str(path) if relative.startswith(os.path.join("..", "..")) else relative  # noqa: PTH118


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "finding"), counted(2, "finding")
    ('1 finding', '2 findings')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
