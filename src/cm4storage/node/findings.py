"""What a check of the machine found."""

from __future__ import annotations

from typing import Any, Literal

from cm4storage.core.records import asdict, dataclass

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Parameters
    ----------
    name : str
        What was looked at.
    status : str
        ``problem``: something will not work. ``warning``: it works, but slower, or not
        everywhere, or its figures mislead.
    found : str
        What is there.
    meaning, advice : str
        What that means, and how to mend it; "" where all is well.
    """

    name: str
    status: Status
    found: str
    meaning: str = ""
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def ok(name: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(name, "ok", found)


def warning(name: str, found: str, meaning: str, advice: str) -> Finding:
    """Return a finding with which most things work."""
    return Finding(name, "warning", found, meaning, advice)


def problem(name: str, found: str, meaning: str, advice: str) -> Finding:
    """Return a finding with which something does not work."""
    return Finding(name, "problem", found, meaning, advice)
