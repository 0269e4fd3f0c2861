"""The rules of a comparison, read from a JSON file.

The file has four sorts of rules. ``performance_metrics`` may be off by a tolerance, relative
(``relative_tolerance_percent``), absolute (``absolute_tolerance``, in the metric's unit) or the
larger of both. ``functional_metrics`` and ``provenance_fields`` must be equal (``exact_match``), of
compatible versions (``version_compatible``) or do not count (``ignore``), and
``deterministic_validation`` compares the beginning of a sequence (``sequence_match``). A mode
multiplies all tolerances, or leaves the metrics of performance out; a backend multiplies those of a
``group``: ``<group>_tolerance_multiplier``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA: Final = "cm4storage.tolerance"
VERSION: Final = 1
DEFAULT_FILE: Final = Path(__file__).with_name("tolerance.json")
DEFAULT_MODE: Final = "standard"

ASPECTS: Final = (
    *("machine", "workload", "model", "ranks", "scale"),
    *("backend", "limits", "conduct", "page_cache", "formula"),
)
"""What two runs must have in common for their figures to be comparable."""

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class FigureRule:
    """How a figure is judged.

    Attributes
    ----------
    field : str
        Its name in the report; a dot leads into a mapping.
    better : {'higher', 'lower'}
    relative : float or None
        Tolerated share of the baseline, 0.05 for 5 %; None: the spread alone decides.
    absolute : float
        What is tolerated at least, in the figure's unit.
    unit, group, description : str
    """

    field: str
    better: Better
    relative: float | None = None
    absolute: float = 0.0
    unit: str = ""
    group: str = ""
    description: str = ""

    def tolerance(self, baseline: float) -> float | None:
        """Return how far from `baseline` a figure may be; None where no tolerance is known."""
        if self.relative is None:
            return self.absolute or None
        return max(self.relative * abs(baseline), self.absolute)

    def scaled(self, factor: float) -> FigureRule:
        """Return the rule with all its tolerances multiplied."""
        relative = None if self.relative is None else self.relative * factor
        return replace(self, relative=relative, absolute=self.absolute * factor)


@dataclass(frozen=True)
class EqualRule:
    """What must be equal.

    Attributes
    ----------
    field : str
        As in `FigureRule`; ``*`` stands for each item of a list.
    how : {'exact', 'sequence', 'version'}
    sample_size : int
        How many items of a sequence count.
    needs_same : tuple of str
        The aspects, beside workload, ranks, scale and limits, on which the value depends.
    """

    field: str
    how: Literal["exact", "sequence", "version"] = "exact"
    sample_size: int = 0
    needs_same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """All rules of a comparison, before a mode and a backend are chosen."""

    figures: tuple[FigureRule, ...]
    equals: tuple[EqualRule, ...]
    modes: Mapping[str, Mapping[str, Any]]
    backends: Mapping[str, Mapping[str, float]]
    source: str

    def chosen(self, mode: str, backend: str) -> Rules:
        """Return the rules as `mode` and `backend` make them.

        Raises
        ------
        UserError
            If there is no such mode.
        """
        if mode not in self.modes:
            raise UserError(
                f"the rules have no mode {mode}",
                where=self.source,
                advice=f"they have: {', '.join(self.modes)}",
            )
        if self.modes[mode].get("ignore_performance_metrics"):
            return replace(self, figures=())
        factor = float(self.modes[mode].get("performance_tolerance_multiplier", 1.0))
        groups = self.backends.get(backend, {})
        return replace(
            self,
            figures=tuple(
                rule.scaled(factor * groups.get(f"{rule.group}_tolerance_multiplier", 1.0))
                for rule in self.figures
            ),
        )


def load(path: Path = DEFAULT_FILE) -> Rules:
    """Read rules.

    Raises
    ------
    UserError
        If the file cannot be read, is of a newer version, or has a rule that makes no sense.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the rules: {error}", where=str(path)) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError(
            "this is no file of tolerances",
            where=str(path),
            advice=f"begin with a copy of {DEFAULT_FILE}",
        )
    if document.get("version") != VERSION:
        raise UserError(
            f"the rules have version {document.get('version')}; this release reads {VERSION}",
            where=str(path),
        )
    try:
        return _rules(document, str(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"a rule makes no sense: {error}", where=str(path)) from error


def _rules(document: dict[str, Any], source: str) -> Rules:
    kinds = document["tolerance_rules"]
    sections: dict[str, Callable[[str, dict[str, Any]], EqualRule | None]] = {
        "functional_metrics": _equal,
        "deterministic_validation": _equal,
        "provenance_fields": _equal,
    }
    unknown = set(kinds) - {"performance_metrics", *sections}
    if unknown:
        raise ValueError(f"there is no section {sorted(unknown)[0]}")
    equals = (
        read(field, rule)
        for name, read in sections.items()
        for field, rule in kinds.get(name, {}).items()
    )
    figures = (_figure(*item) for item in kinds.get("performance_metrics", {}).items())
    modes = document.get("validation_modes") or {DEFAULT_MODE: {}}
    return Rules(
        tuple(figures),
        tuple(rule for rule in equals if rule is not None),
        modes,
        document.get("backend_specific_adjustments", {}),
        source,
    )


def _figure(field: str, rule: dict[str, Any]) -> FigureRule:
    better = rule.get("better")
    if better not in ("higher", "lower"):
        raise ValueError(f"{field}: better must be higher or lower, not {better!r}")
    percent = rule.get("relative_tolerance_percent")
    relative = None if percent is None else _amount(field, percent) / 100
    return FigureRule(
        field,
        cast("Better", better),
        relative,
        _amount(field, rule.get("absolute_tolerance", 0.0)),
        rule.get("unit", ""),
        rule.get("group", ""),
        rule.get("description", ""),
    )


def _amount(field: str, value: Any) -> float:
    amount = float(value)
    if not amount >= 0:
        raise ValueError(f"{field}: a tolerance must be at least 0, not {value}")
    return amount


def _equal(field: str, rule: dict[str, Any]) -> EqualRule | None:
    if rule.get("ignore"):
        return None
    needs = tuple(rule.get("needs_same", ()))
    if set(needs) - set(ASPECTS):
        raise ValueError(f"{field}: needs_same must be some of {', '.join(ASPECTS)}")
    if rule.get("sequence_match"):
        return EqualRule(field, "sequence", int(rule.get("sample_size", 100)), needs)
    if rule.get("version_compatible"):
        return EqualRule(field, "version", 0, needs)
    if rule.get("exact_match"):
        return EqualRule(field, "exact", 0, needs)
    raise ValueError(
        f"{field}: one of exact_match, sequence_match, version_compatible, ignore must be true"
    )
