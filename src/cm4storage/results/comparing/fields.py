"""Fields of a report by their dotted names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def value_of(report: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field, None where there is none.

    A dot leads into a mapping; ``*`` stands for every item of a list, and gives a list.

    >>> value_of({"epochs": [{"steps": 3}, {"steps": 4}]}, "epochs.*.steps")
    [3, 4]
    """
    head, dot, rest = field.partition(".")
    if head == "*":
        return None
    value = report.get(head)
    if not dot:
        return value
    if rest.startswith("*.") and isinstance(value, list):
        return [value_of(item, rest[2:]) if isinstance(item, dict) else None for item in value]
    return value_of(value, rest) if isinstance(value, dict) else None


def subset(report: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a report that has only these fields, and those that exist at all.

    >>> subset({"a": 1, "epochs": [{"b": 2, "c": 3}]}, ("epochs.*.b",))
    {'epochs': [{'b': 2}]}
    """
    heads: dict[str, list[str]] = {}
    for field in fields:
        head, _, rest = field.partition(".")
        heads.setdefault(head, []).append(rest)
    part: dict[str, Any] = {}
    for head, rests in heads.items():
        if head in report:
            part[head] = _inner(report[head], tuple(rests))
    return part


def _inner(value: Any, rests: tuple[str, ...]) -> Any:
    if "" in rests:
        return value
    if isinstance(value, list):
        inner = tuple(rest.removeprefix("*.") for rest in rests)
        return [subset(item, inner) if isinstance(item, dict) else item for item in value]
    return subset(value, rests) if isinstance(value, dict) else value
