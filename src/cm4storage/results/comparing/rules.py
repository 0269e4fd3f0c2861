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

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from cm4storage.core.errors import UserError
from cm4storage.core.reading import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SCHEMA: Final = "cm4storage.tolerance"
VERSION: Final = 1
DEFAULT_FILE: Final = Path(__file__).with_name("tolerance.json")
DEFAULT_MODE: Final = "standard"

ASPECTS: Final = (
    *("machine", "workload", "model", "ranks", "scale"),
    *("backend", "limits", "conduct", "page_cache", "formula"),
)
"""What two runs must have in common for their figures to be comparable."""

_MULTIPLIER: Final = "_tolerance_multiplier"
_KEYS: Final = (
    *("schema", "version", "tolerance_rules", "validation_modes"),
    "backend_specific_adjustments",
)
_FIGURE_KEYS: Final = (
    *("better", "relative_tolerance_percent", "absolute_tolerance", "unit", "group"),
)
_EQUAL_KEYS: Final = (
    *("exact_match", "sequence_match", "sample_size", "version_compatible", "ignore", "needs_same"),
)

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
    """All rules of a comparison, before a mode and a backend are chosen.

    Attributes
    ----------
    figures, equals : tuple
    modes : mapping
        By name, what all tolerances are multiplied by; None: figures are left out.
    backends : mapping
        By name, what the tolerances of each group are multiplied by.
    source : str
        The file.
    """

    figures: tuple[FigureRule, ...]
    equals: tuple[EqualRule, ...]
    modes: Mapping[str, float | None]
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
        factor = self.modes[mode]
        if factor is None:
            return replace(self, figures=())
        groups = self.backends.get(backend, {})
        return replace(
            self,
            figures=tuple(
                rule.scaled(factor * groups.get(rule.group, 1.0)) for rule in self.figures
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
        document = read_json(path)
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
    _require_known("the file", document, _KEYS)
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
    figures = tuple(_figure(*item) for item in kinds.get("performance_metrics", {}).items())
    modes = document.get("validation_modes") or {DEFAULT_MODE: {}}
    backends = document.get("backend_specific_adjustments", {})
    groups = {rule.group for rule in figures}
    return Rules(
        figures,
        tuple(rule for rule in equals if rule is not None),
        {name: _mode(name, mode) for name, mode in modes.items()},
        {name: _factors(name, factors, groups) for name, factors in backends.items()},
        source,
    )


def _mode(name: str, mode: dict[str, Any]) -> float | None:
    """Return what a mode multiplies tolerances by; None where it leaves figures out."""
    _require_known(name, mode, ("performance_tolerance_multiplier", "ignore_performance_metrics"))
    if mode.get("ignore_performance_metrics"):
        return None
    return _amount(name, mode.get("performance_tolerance_multiplier", 1.0))


def _factors(backend: str, factors: dict[str, Any], groups: set[str]) -> dict[str, float]:
    """Return by group what a backend multiplies tolerances by."""
    known = {f"{group}{_MULTIPLIER}" for group in groups}
    _require_known(backend, factors, sorted(known))
    return {
        name.removesuffix(_MULTIPLIER): _amount(backend, factor)
        for name, factor in factors.items()
        if name in known
    }


def _require_known(name: str, rule: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that would mean nothing; any rule may have a description."""
    unknown = sorted(set(rule) - {"description", *known})
    if unknown:
        raise ValueError(f"{name}: there is no {unknown[0]}; known: {', '.join(known)}")


def _figure(field: str, rule: dict[str, Any]) -> FigureRule:
    _require_known(field, rule, _FIGURE_KEYS)
    for name in ("unit", "group", "description"):
        if not isinstance(rule.get(name, ""), str):
            raise TypeError(f"{field}: {name} must be a text")
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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"{field}: a tolerance must be a number of at least 0, not {value!r}")
    return float(value)


def _size(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{field}: sample_size must be a whole number above 0, not {value!r}")
    return value


def _equal(field: str, rule: dict[str, Any]) -> EqualRule | None:
    _require_known(field, rule, _EQUAL_KEYS)
    if rule.get("ignore"):
        return None
    needs = tuple(rule.get("needs_same", ()))
    if set(needs) - set(ASPECTS):
        raise ValueError(f"{field}: needs_same must be some of {', '.join(ASPECTS)}")
    if rule.get("sequence_match"):
        return EqualRule(field, "sequence", _size(field, rule.get("sample_size", 100)), needs)
    if rule.get("version_compatible"):
        return EqualRule(field, "version", 0, needs)
    if rule.get("exact_match"):
        return EqualRule(field, "exact", 0, needs)
    raise ValueError(
        f"{field}: one of exact_match, sequence_match, version_compatible, ignore must be true"
    )
