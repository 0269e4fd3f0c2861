"""What two runs have in common, and with that whether their figures can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import canonical_json
from cm4storage.results.comparing.fields import value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Report = Mapping[str, Any]

MACHINE_FIELDS = ("hostname", "processor", "cpu_count", "memory_bytes")


def machine_of(host: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what tells one machine from another; None where nothing is known."""
    if not host:
        return None
    return {name: host.get(name) for name in MACHINE_FIELDS}


def _conduct(report: Report) -> dict[str, Any]:
    if "page_cache" in report:
        return {
            "page_cache": value_of(report, "page_cache.state"),
            "fsync": value_of(report, "storage.fsync"),
        }
    conduct = report.get("conduct") or {}
    return {
        "cold": bool(conduct.get("is_cold")),
        "own_parts": conduct.get("own_parts") or [],
    }


def _backend(report: Report) -> str:
    client = report.get("client") or value_of(report, "storage.client")
    return " through ".join(filter(None, (_scheme(report), client)))


def _scheme(report: Report) -> str:
    """Return the backend; a report of checkpoints has it in its ``storage``."""
    return str(report.get("backend_type") or value_of(report, "storage.backend") or "")


def _model(report: Report) -> Any:
    """Return whose checkpoints they are; a training has its workload alone."""
    return report.get("benchmark_name") if "layout" in report else None


def _limits(report: Report) -> dict[str, Any]:
    return {name: value for name, value in (report.get("limits") or {}).items() if value}


_READERS: Mapping[str, Callable[[Report], Any]] = {
    "machine": lambda report: machine_of(report.get("host")),
    "workload": lambda report: report.get("workload_digest"),
    "model": _model,
    "ranks": lambda report: value_of(report, "layout.ranks"),
    "scale": lambda report: report.get("scale"),
    "backend": _backend,
    "limits": _limits,
    "conduct": _conduct,
    "formula": lambda report: report.get("au_formula_variant"),
}

_NOUNS = {
    "machine": "another machine",
    "workload": "another workload",
    "model": "another model",
    "ranks": "another number of ranks",
    "scale": "another scale",
    "backend": "another backend",
    "limits": "other limits",
    "conduct": "run in another way",
    "formula": "another formula of the utilization",
}


def differences(baseline: Sequence[Report], candidate: Sequence[Report]) -> dict[str, str]:
    """Return what the two sides, or the runs of one side, do not share.

    Returns
    -------
    dict
        By aspect, a few words that say what is different.
    """
    return {
        aspect: text
        for aspect, read in _READERS.items()
        if (text := _difference(aspect, list(map(read, baseline)), list(map(read, candidate))))
    }


def _difference(aspect: str, baseline: list[Any], candidate: list[Any]) -> str:
    old = {canonical_json(value): value for value in baseline}
    new = {canonical_json(value): value for value in candidate}
    if len({*old, *new}) == 1:
        return ""
    if len(old) > 1 or len(new) > 1:
        side = "baseline" if len(old) > 1 else "new"
        return f"the {side} runs differ in {aspect}"
    [before], [after] = old.values(), new.values()
    return f"{_NOUNS[aspect]}: {_shown(aspect, before)}, now {_shown(aspect, after)}"


def _shown(aspect: str, value: Any) -> str:
    """Return the value of an aspect in few words."""
    if value is None:
        return "not known"
    if aspect == "machine":
        return f"{value['hostname']} ({value['cpu_count']} CPUs)"
    if aspect == "workload":
        return str(value)[:12]
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or "none"
    return str(value)


def fields_of_context() -> tuple[str, ...]:
    """Return the report's fields that `differences` looks at."""
    return (
        *(f"host.{name}" for name in MACHINE_FIELDS),
        "workload_digest", "scale", "backend_type", "client", "limits", "conduct.is_cold",
        "conduct.own_parts", "au_formula_variant", "benchmark_name", "layout.ranks",
        "storage.backend", "storage.client", "storage.fsync", "page_cache.state",
    )  # fmt: skip


def backend_of(reports: Sequence[Report]) -> str:
    """Return the backend whose adjustments count: that of the first run."""
    return _scheme(reports[0])
