"""What probes find, and what all of them make of a location."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.storage.diagnosis.bench import Bench

Status = Literal["ok", "failed", "not tried"]


class NotTried(Exception):
    """The probe makes no sense here; its text says why."""


@dataclass(frozen=True)
class Observation:
    """What a probe that succeeded has seen.

    Attributes
    ----------
    text : str
        For people.
    figures : mapping
        For programs, with units in the names.
    """

    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """One question to a location.

    Attributes
    ----------
    name : str
    ask : callable
        Finds out; raises a `cm4storage.core.errors.StorageBenchmarkError` where the answer is no,
        and `NotTried` where the question makes no sense.
    needs : tuple of str
        The probes without which this one would fail as well, for no reason of its own.
    limit_s : float
        When to take silence for an answer.
    """

    name: str
    ask: Callable[[Bench], Observation]
    needs: tuple[str, ...] = ()
    limit_s: float = 15.0


@dataclass(frozen=True)
class Finding:
    """The answer to one probe.

    Attributes
    ----------
    name : str
    status : {'ok', 'failed', 'not tried'}
    elapsed_s : float
        How long the probe took.
    text : str
        What was seen, what went wrong, or why it was not tried.
    figures : mapping
        For programs, with units in the names.
    where, meaning, advice : str
        Of a failure: the object or endpoint, the usual cause, and what to do.
    """

    name: str
    status: Status
    elapsed_s: float = 0.0
    text: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    meaning: str = ""
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return JSON data; what is empty is left out."""
        document = {
            "name": self.name,
            "status": self.status,
            "elapsed_s": round(self.elapsed_s, 6),
            "text": self.text,
            "where": self.where,
            "cause": self.meaning,
            "to_do": self.advice,
            "figures": dict(self.figures),
        }
        return {name: value for name, value in document.items() if value not in ("", {})}


@dataclass(frozen=True)
class Diagnosis:
    """All findings of a location.

    Attributes
    ----------
    uri : str
    findings : tuple of Finding
        In the order of the probes.
    elapsed_s : float
    """

    uri: str
    findings: tuple[Finding, ...]
    elapsed_s: float

    @property
    def is_good(self) -> bool:
        """Tell whether no probe failed."""
        return self.count("failed") == 0

    def count(self, status: Status) -> int:
        """Return how many findings have this status."""
        return Counter(finding.status for finding in self.findings)[status]

    def as_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON data, with units in the names."""
        return {
            "uri": self.uri,
            "ok": self.is_good,
            "elapsed_s": round(self.elapsed_s, 6),
            "probes": [finding.as_json() for finding in self.findings],
        }
