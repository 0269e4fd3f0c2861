"""What is known of a run, wherever it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cm4storage.results.collecting.averages import BEYOND

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Value = str | int | float | bool
Kind = Literal["training", "checkpointing", "unknown"]
State = Literal["complete", "partial", "unreadable"]
Verdict = Literal["agrees", "agrees in part", "differs", "cannot be recomputed"]

TOLERANCE = 1e-9
"""The relative difference up to which a published and a recomputed figure agree."""


@dataclass(frozen=True)
class Figure:
    """A derived figure as it was published, and as it follows from the run's own inputs.

    Attributes
    ----------
    name : str
        The published name.
    published, recomputed : float or str or None
        None where there is no figure.
    """

    name: str
    published: float | str | None
    recomputed: float | str | None

    @property
    def difference(self) -> float:
        """The relative difference; infinite where only one is there or texts differ."""
        if self.published == self.recomputed:
            return 0.0
        if not isinstance(self.published, float) or not isinstance(self.recomputed, float):
            return float("inf")
        largest = max(abs(self.published), abs(self.recomputed))
        return abs(self.published - self.recomputed) / largest

    @property
    def is_finite(self) -> bool:
        """Whether what was recomputed is a text, nothing, or a finite number."""
        return not isinstance(self.recomputed, float) or math.isfinite(self.recomputed)

    @property
    def agrees(self) -> bool:
        """Whether the difference is at most `TOLERANCE`."""
        return self.difference <= TOLERANCE


@dataclass(frozen=True)
class Recomputation:
    """What came of recomputing a run's derived figures.

    Attributes
    ----------
    figures : tuple of Figure
        All that could be recomputed.
    missing : tuple of str
        What could not, and why.
    """

    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()

    def __add__(self, other: Recomputation) -> Recomputation:
        return Recomputation(self.figures + other.figures, self.missing + other.missing)

    @property
    def finite(self) -> Recomputation:
        """The same, in which figures that are beyond a computer's numbers are missing."""
        beyond = tuple(f"{each.name}: {BEYOND}" for each in self.figures if not each.is_finite)
        figures = tuple(each for each in self.figures if each.is_finite)
        return Recomputation(figures, self.missing + beyond)

    @property
    def differing(self) -> tuple[Figure, ...]:
        """The figures that do not agree."""
        return tuple(figure for figure in self.figures if not figure.agrees)

    @property
    def verdict(self) -> Verdict:
        """The outcome in a word or two."""
        if self.differing:
            return "differs"
        if not self.figures:
            return "cannot be recomputed"
        return "agrees in part" if self.missing else "agrees"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Each figure that differs, and what could not be recomputed."""
        texts = [
            f"{each.name}: published {each.published}, recomputed {each.recomputed}"
            for each in self.differing
        ]
        return (*texts, *self.missing)


@dataclass(frozen=True)
class CollectedRun:
    """One run of a tree.

    Attributes
    ----------
    name : str
        The folder below the one that was named.
    folder : Path
    source : str
        ``cm4storage`` or ``DLIO``.
    kind : str
    state : str
        ``partial``: it has figures or parameters, but not all of its files.
    problems : tuple of str
        What is wrong with it.
    identity : mapping
        Round, division, submitter, system, model, accelerator, workload, as far as known.
    parameters : mapping
        The workload's keys under their canonical names, and the machine's.
    metrics : mapping
        By the keys of `cm4storage.results.collecting.catalogue`.
    recomputation : Recomputation
    """

    name: str
    folder: Path
    source: str
    kind: Kind
    state: State
    problems: tuple[str, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    recomputation: Recomputation = field(default_factory=Recomputation)


@dataclass(frozen=True)
class CollectedReport:
    """A report over several runs that a submitter published.

    Attributes
    ----------
    name : str
        The file below the folder that was named.
    recomputation : Recomputation
    """

    name: str
    recomputation: Recomputation


@dataclass(frozen=True)
class Collection:
    """All that was found.

    Attributes
    ----------
    runs : tuple of CollectedRun
    reports : tuple of CollectedReport
    problems : tuple of str
        Folders that could not be read at all.
    """

    runs: tuple[CollectedRun, ...]
    reports: tuple[CollectedReport, ...] = ()
    problems: tuple[str, ...] = ()
