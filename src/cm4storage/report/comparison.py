"""Comparisons as a table for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import format_bytes, format_count
from cm4storage.report.listing import table
from cm4storage.results.comparing.comparison import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.results.comparing.comparison import (
        Comparison,
        EqualVerdict,
        FigureVerdict,
    )
    from cm4storage.results.comparing.samples import Samples

SCHEMA = "cm4storage.comparison"
VERSION = 1

_HEADERS = ("metric", "baseline", "new", "change", "tolerance", "verdict")
_VALUE_WIDTH = 24


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for programs."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "runs": {"baseline": comparison.counts[0], "new": comparison.counts[1]},
        "verdict": comparison.overall.value,
        "counts": {each.value: comparison.count(each) for each in Outcome},
        "differences": dict(comparison.differences),
        "across": sorted(comparison.across),
        "lost": comparison.lost,
        "figures": [_figure_as_json(each) for each in comparison.figures],
        "equals": [
            {
                "field": each.rule.field,
                "verdict": each.outcome.value,
                "reason": each.reason,
                "baseline": each.baseline,
                "new": each.candidate,
            }
            for each in comparison.equals
        ],
    }


def render(comparison: Comparison) -> str:
    """Return a comparison for the terminal: figures, what is unequal, and the sum."""
    parts = [_runs(comparison), ""]
    if comparison.figures:
        parts += [table(_HEADERS, _rows(comparison)), ""]
    return "\n".join(parts + list(_remarks(comparison)))


def render_markdown(comparison: Comparison) -> str:
    """Return a comparison as Markdown, for a pull request or a page."""
    parts = [_runs(comparison), ""]
    if comparison.figures:
        parts += [_line(_HEADERS), _line(["---"] * len(_HEADERS))]
        parts += [*map(_line, _rows(comparison)), ""]
    return "\n".join(parts + [f"- {remark}" for remark in _remarks(comparison)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _figure_as_json(verdict: FigureVerdict) -> dict[str, Any]:
    rule = verdict.rule
    return {
        "field": rule.field,
        "unit": rule.unit,
        "better": rule.better,
        "verdict": verdict.outcome.value,
        "reason": verdict.reason,
        "baseline": None if verdict.baseline is None else asdict(verdict.baseline),
        "new": None if verdict.candidate is None else asdict(verdict.candidate),
        "change_percent": None if verdict.change is None else verdict.change * 100,
        "tolerance": _finite(verdict.tolerance),
        "uncertainty": _finite(verdict.uncertainty),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


def _runs(comparison: Comparison) -> str:
    before, after = (format_count(count, "run") for count in comparison.counts)
    return f"baseline of {before}, compared with {after}"


def _rows(comparison: Comparison) -> list[tuple[str, ...]]:
    return [
        (
            each.rule.description or each.rule.field,
            _samples(each.baseline, each.rule.unit),
            _samples(each.candidate, each.rule.unit),
            "-" if each.change is None else f"{each.change * 100:+.1f} %",
            _tolerance(each),
            each.outcome.value,
        )
        for each in comparison.figures
    ]


def _samples(samples: Samples | None, unit: str) -> str:
    if samples is None:
        return "-"
    if unit == "B":
        spread = "" if samples.stdev is None else f" +/- {format_bytes(samples.stdev)}"
        return f"{format_bytes(samples.mean)}{spread}"
    spread = "" if samples.stdev is None else f" +/- {_number(samples.stdev)}"
    return f"{_number(samples.mean)}{spread} {unit}".rstrip()


def _tolerance(verdict: FigureVerdict) -> str:
    if verdict.tolerance is None:
        return "-"
    if verdict.rule.unit == "B":
        return format_bytes(verdict.tolerance)
    return f"{_number(verdict.tolerance)} {verdict.rule.unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _remarks(comparison: Comparison) -> list[str]:
    """Return what is unequal, why figures could not be compared, and the numbers of verdicts."""
    equal = sum(each.outcome is Outcome.SAME for each in comparison.equals)
    lines = [f"{equal} of {len(comparison.equals)} exact values are equal"]
    lines += [_unequal(each) for each in comparison.equals if each.outcome is Outcome.WORSE]
    excused = Counter(e.reason for e in comparison.equals if e.outcome is Outcome.CANNOT_TELL)
    lines += [f"{count} are not, and need not be: {why}" for why, count in excused.items()]
    for aspect, text in comparison.differences.items():
        allowed = " (compared all the same)" if aspect in comparison.across else ""
        lines.append(f"not the same: {text}{allowed}")
    reasons = {
        each.reason: None
        for each in comparison.figures
        if each.outcome is Outcome.CANNOT_TELL and not each.reason.startswith("not comparable")
    }
    lines += [f"cannot tell: {reason}" for reason in reasons]
    if comparison.lost:
        lines.append(f"lost, the new run does not tell: {', '.join(comparison.lost)}")
    if comparison.asks_for_figures and not comparison.figures:
        lines.append("cannot tell: neither side has any figure that the rules name")
    if comparison.figures and comparison.counts == (1, 1):
        lines.append(
            "one run on each side: the tolerance alone decides, repeat the runs to be sure"
        )
    counts = ", ".join(f"{comparison.count(each)} {each.value}" for each in Outcome)
    return [*lines, f"{comparison.overall.value}: {counts}"]


def _unequal(verdict: EqualVerdict) -> str:
    before, after = _short(verdict.baseline), _short(verdict.candidate)
    return f"{verdict.rule.field}: {before}, now {after}: {verdict.outcome.value}, {verdict.reason}"


def _short(value: Any) -> str:
    """Return a value in at most `_VALUE_WIDTH` characters."""
    text = "missing" if value is None else str(value)
    return text if len(text) <= _VALUE_WIDTH else f"{text[: _VALUE_WIDTH - 3]}..."
