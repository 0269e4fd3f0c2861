"""Judge every metric of new runs by those of a baseline."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.results.comparing.context import differences
from cm4storage.results.comparing.fields import value_of
from cm4storage.results.comparing.samples import Samples, uncertainty

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cm4storage.results.comparing.rules import EqualRule, FigureRule, Rules

    Report = Mapping[str, Any]

_ALWAYS_NEEDED = ("workload", "ranks", "scale", "limits")
"""What counts, bytes and orders depend on, whatever else changes."""

_DECIDES_WHAT_IS_MEASURED = (*_ALWAYS_NEEDED, "model", "backend", "conduct", "formula")
"""Where one of these differs, a figure may be there on one side alone."""

_LARGEST = 1e150
"""Figures beyond it are damaged, and the square of their spread is no number."""


class Outcome(str, enum.Enum):
    """What can be said of one metric."""

    IMPROVED = "improved"
    SAME = "same"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class FigureVerdict:
    """What became of one figure.

    Attributes
    ----------
    rule : FigureRule
    outcome : Outcome
    reason : str
        Why, in words.
    baseline, candidate : Samples or None
        None where no run has the figure.
    tolerance, uncertainty : float or None
        In the figure's unit; the latter at 95 %, from the spread of the runs.
    """

    rule: FigureRule
    outcome: Outcome
    reason: str
    baseline: Samples | None
    candidate: Samples | None
    tolerance: float | None = None
    uncertainty: float | None = None

    @property
    def change(self) -> float | None:
        """The change relative to the baseline, 0.1 for 10 % more; None where there is none."""
        if self.baseline is None or self.candidate is None or self.baseline.mean == 0:
            return None
        change = (self.candidate.mean - self.baseline.mean) / abs(self.baseline.mean)
        return change if abs(change) <= _LARGEST else None


@dataclass(frozen=True)
class EqualVerdict:
    """What became of one value that must be equal; outcome is never improved."""

    rule: EqualRule
    outcome: Outcome
    reason: str
    baseline: Any
    candidate: Any


@dataclass(frozen=True)
class Comparison:
    """Everything that was found.

    Attributes
    ----------
    figures, equals : tuple
        Verdicts in the order of the rules; without those that neither side has.
    differences : dict
        By aspect, in what the two sides differ.
    across : frozenset of str
        The aspects whose difference was not to stand in the way.
    counts : tuple of int
        How many runs the baseline has, and how many the candidate.
    asks_for_figures : bool
        Whether the rules have figures.
    """

    figures: tuple[FigureVerdict, ...]
    equals: tuple[EqualVerdict, ...]
    differences: Mapping[str, str]
    across: frozenset[str]
    counts: tuple[int, int]
    asks_for_figures: bool = True

    def count(self, outcome: Outcome) -> int:
        """Return how many metrics have this outcome."""
        outcomes = [each.outcome for each in self.figures]
        outcomes += [each.outcome for each in self.equals]
        return outcomes.count(outcome)

    @property
    def is_worse(self) -> bool:
        """Tell whether anything is worse, or differs that must be equal."""
        return self.count(Outcome.WORSE) > 0

    @property
    def lost(self) -> list[str]:
        """The fields that the baseline has, and runs of the same kind ought to have, too."""
        if not self.differences.keys().isdisjoint(_DECIDES_WHAT_IS_MEASURED):
            return []
        equals = [each for each in self.equals if each.rule.how != "version"]
        every: list[FigureVerdict | EqualVerdict] = [*self.figures, *equals]
        return [
            each.rule.field
            for each in every
            if each.outcome is Outcome.CANNOT_TELL and _is_lost(each.baseline, each.candidate)
        ]

    @property
    def is_undecided(self) -> bool:
        """Tell whether figures are asked for and nothing could be said of any, or some are lost."""
        nothing_told = all(each.outcome is Outcome.CANNOT_TELL for each in self.figures)
        return (self.asks_for_figures and nothing_told) or bool(self.lost)

    @property
    def overall(self) -> Outcome:
        """What can be said of all of it."""
        if self.is_worse:
            return Outcome.WORSE
        if self.is_undecided:
            return Outcome.CANNOT_TELL
        return Outcome.IMPROVED if self.count(Outcome.IMPROVED) else Outcome.SAME


def compare(
    baseline: Sequence[Report],
    candidate: Sequence[Report],
    rules: Rules,
    across: Collection[str] = (),
) -> Comparison:
    """Compare the reports of one or more runs with those of a baseline.

    Parameters
    ----------
    baseline, candidate : sequence of mapping
        The contents of ``report.json``, at least one on each side.
    rules : Rules
        With mode and backend chosen.
    across : collection of str
        Aspects in which the runs may differ although figures are compared.
    """
    differing = differences(baseline, candidate)
    obstacles = [text for aspect, text in differing.items() if aspect not in across]
    figures = (_judge_figure(rule, baseline, candidate, obstacles) for rule in rules.figures)
    equals = (_judge_equal(rule, baseline, candidate, differing) for rule in rules.equals)
    return Comparison(
        tuple(each for each in figures if each is not None),
        tuple(each for each in equals if each is not None),
        differing,
        frozenset(across),
        (len(baseline), len(candidate)),
        bool(rules.figures),
    )


def _judge_figure(
    rule: FigureRule,
    baseline: Sequence[Report],
    candidate: Sequence[Report],
    obstacles: list[str],
) -> FigureVerdict | None:
    old, new = _samples(baseline, rule.field), _samples(candidate, rule.field)
    if old is None and new is None:
        return None
    if old is None or new is None:
        side = "baseline" if old is None else "new run"
        reason = f"the {side} has no such figure"
        return FigureVerdict(rule, Outcome.CANNOT_TELL, reason, old, new)
    tolerance, doubt = rule.tolerance(old.mean), uncertainty(old, new)
    if obstacles:
        outcome, reason = Outcome.CANNOT_TELL, f"not comparable: {'; '.join(obstacles)}"
    else:
        outcome, reason = _verdict(rule, new.mean - old.mean, tolerance, doubt)
    return FigureVerdict(rule, outcome, reason, old, new, tolerance, doubt)


def _verdict(
    rule: FigureRule, difference: float, tolerance: float | None, doubt: float | None
) -> tuple[Outcome, str]:
    if tolerance is None and doubt is None:
        return Outcome.CANNOT_TELL, "one run on each side, and the rules have no tolerance"
    if tolerance is not None and abs(difference) <= tolerance:
        return Outcome.SAME, "within the tolerance"
    if doubt is not None and abs(difference) <= doubt:
        if tolerance is None:
            return Outcome.SAME, "within the spread of the runs"
        return Outcome.CANNOT_TELL, "beyond the tolerance, but within the spread: more runs tell"
    is_better = (difference > 0) == (rule.better == "higher")
    beyond = "the spread of the runs" if tolerance is None else "the tolerance"
    return (Outcome.IMPROVED if is_better else Outcome.WORSE), f"beyond {beyond}"


def _samples(reports: Sequence[Report], field: str) -> Samples | None:
    values = [value_of(report, field) for report in reports]
    known = [float(v) for v in values if isinstance(v, (int, float)) and abs(v) <= _LARGEST]
    return Samples.of(known) if known else None


def _judge_equal(
    rule: EqualRule,
    baseline: Sequence[Report],
    candidate: Sequence[Report],
    differing: Mapping[str, str],
) -> EqualVerdict | None:
    old = _values(rule, baseline)
    new = _values(rule, candidate)
    if old == new == [None]:
        return None
    before, after = _one(old), _one(new)
    if len(old) == len(new) == 1 and _agree(rule, old[0], new[0]):
        return EqualVerdict(rule, Outcome.SAME, "equal", before, after)
    needed = (*_ALWAYS_NEEDED, *rule.needs_same)
    obstacles = [text for aspect, text in differing.items() if aspect in needed]
    if obstacles:
        return EqualVerdict(rule, Outcome.CANNOT_TELL, "; ".join(obstacles), before, after)
    unknown = _unknown(rule, old, new, candidate)
    if unknown:
        return EqualVerdict(rule, Outcome.CANNOT_TELL, unknown, before, after)
    if rule.how == "version":
        return EqualVerdict(rule, Outcome.CANNOT_TELL, "of another release", before, after)
    reason = "must be equal"
    if len(old) > 1 or len(new) > 1:
        reason = "must be equal, and is not even in all runs of one side"
    return EqualVerdict(rule, Outcome.WORSE, reason, before, after)


def _unknown(rule: EqualRule, old: list[Any], new: list[Any], candidate: Sequence[Report]) -> str:
    """Return why values that are not equal need not differ: one side does not know its own."""
    if len(old) > 1 or len(new) > 1 or _conflict(old[0], new[0]):
        return ""
    head = rule.field.partition(".")[0]
    if not all(head in report for report in candidate):
        return ""  # a report of today has every field, if only with null
    side = "new run" if _is_lost(old[0], new[0]) else "baseline"
    return f"the {side} does not tell"


def _conflict(old: Any, new: Any) -> bool:
    """Tell whether two values differ where both are known; null is not known."""
    if old is None or new is None:
        return False
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return any(map(_conflict, old, new))
    return bool(old != new)


def _is_lost(old: Any, new: Any) -> bool:
    """Tell whether the baseline knows a value, or one of a list, that the new run does not."""
    if isinstance(old, list) and isinstance(new, list):
        return any(map(_is_lost, old, new))
    return old is not None and new is None


def _values(rule: EqualRule, reports: Sequence[Report]) -> list[Any]:
    """Return the different values that the runs of one side have."""
    different: list[Any] = []
    for report in reports:
        value = value_of(report, rule.field)
        if rule.how == "sequence" and isinstance(value, list):
            value = value[: rule.sample_size]
        if value not in different:
            different.append(value)
    return different


def _one(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _agree(rule: EqualRule, old: Any, new: Any) -> bool:
    if rule.how == "version" and isinstance(old, str) and isinstance(new, str):
        return _series(old) == _series(new)
    return bool(old == new)


def _series(version: str) -> tuple[str, ...]:
    """Return what releases that give the same results have in common: 1, or 0 and 4 of 0.4.2."""
    numbers = re.findall(r"\d+", version)
    return tuple(numbers[:2] if numbers[:1] == ["0"] else numbers[:1])
