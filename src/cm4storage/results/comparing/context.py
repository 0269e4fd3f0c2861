"""What two runs have in common, and with that whether their figures can be compared."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import canonical_json
from cm4storage.core.units import format_bytes
from cm4storage.results.comparing.fields import value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Report = Mapping[str, Any]

MACHINE_FIELDS = ("hostname", "processor", "cpu_count", "memory_bytes")

_MEMORY_TOLERANCE = 0.01
"""What another kernel may keep for itself of the same memory."""

_PLACES = ("location", "checkpoint_dir")
"""Options of plugins that name a place, which is no more part of the conduct than that of data."""

_CACHE_TOLERANCE_PERCENT = 25
"""How far apart the shares of the data set may be that are in the page cache before a run."""


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
        "on_error": conduct.get("on_error") or "stop",
        "own_parts": conduct.get("own_parts") or [],
        "readers": conduct.get("readers") or "threads",
        **_plugins(conduct),
    }


def _plugins(conduct: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the workload does not say of plugins, but for where they write."""
    options = conduct.get("plugin_options") or {}
    added = {name: options.get(name) or {} for name in conduct.get("added_plugins") or []}
    changed = {
        name: {option: (options.get(name) or {}).get(option) for option in names}
        for name, names in (conduct.get("changed_options") or {}).items()
    }
    return {
        aspect: {
            name: {option: each for option, each in told.items() if option not in _PLACES}
            for name, told in plugins.items()
        }
        for aspect, plugins in (("added_plugins", added), ("changed_options", changed))
    }


def _same_machine(one: Any, other: Any) -> bool:
    """Tell whether it may be one machine: what a kernel says of the memory changes a little."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return _equal(one, other)
    sizes = one["memory_bytes"], other["memory_bytes"]
    if not all(isinstance(size, (int, float)) for size in sizes):
        return _equal(one, other)
    close = abs(sizes[0] - sizes[1]) <= _MEMORY_TOLERANCE * max(sizes)
    return close and _equal({**one, "memory_bytes": 0}, {**other, "memory_bytes": 0})


def _similar_caches(one: Any, other: Any) -> bool:
    """Tell whether about as much was in the page cache; where it is not known nothing differs."""
    known = [each for each in (one, other) if isinstance(each, (int, float))]
    return max(known, default=0) - min(known, default=0) <= _CACHE_TOLERANCE_PERCENT


def _equal(one: Any, other: Any) -> bool:
    return canonical_json(one) == canonical_json(other)


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
    "page_cache": lambda report: report.get("page_cache_before_percent"),
    "formula": lambda report: report.get("au_formula_variant"),
}

_SAME: Mapping[str, Callable[[Any, Any], bool]] = {
    "machine": _same_machine,
    "page_cache": _similar_caches,
}
"""By aspect, what tells whether two of its values count as one; others have to be equal."""

_NOUNS = {
    "machine": "another machine",
    "workload": "another workload",
    "model": "another model",
    "ranks": "another number of ranks",
    "scale": "another scale",
    "backend": "another backend",
    "limits": "other limits",
    "conduct": "run in another way",
    "page_cache": "another share of the data set in memory before",
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
    same = _SAME.get(aspect, _equal)
    old, new = _different(baseline), _different(candidate)
    for side, values in (("baseline", old), ("new", new)):
        if not all(same(one, other) for one, other in combinations(values, 2)):
            return f"the {side} runs differ in {aspect}"
    differing = next((pair for pair in product(old, new) if not same(*pair)), None)
    if differing is None:
        return ""
    before, after = differing
    if aspect == "machine" and before and after:
        return f"{_NOUNS[aspect]}: {_machine(before, after)}, now {_machine(after, before)}"
    if isinstance(before, dict) and isinstance(after, dict):
        before, after = _without(before, after), _without(after, before)
    return f"{_NOUNS[aspect]}: {_shown(aspect, before)}, now {_shown(aspect, after)}"


def _different(values: list[Any]) -> list[Any]:
    return list({canonical_json(value): value for value in values}.values())


def _without(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return what is in `one` and not the same in `other`."""
    return {name: each for name, each in one.items() if name not in other or other[name] != each}


def _machine(host: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return a machine in few words, with what tells it from another one."""
    parts = [f"{host['cpu_count']} CPUs"]
    if host["processor"] != other["processor"]:
        parts.append(str(host["processor"]))
    memory = host["memory_bytes"]
    if memory != other["memory_bytes"]:
        parts.append(format_bytes(memory) if isinstance(memory, int) else "memory not known")
    return f"{host['hostname']} ({', '.join(parts)})"


def _shown(aspect: str, value: Any) -> str:
    """Return the value of an aspect in few words."""
    if value is None:
        return "not known"
    if aspect == "machine":
        return f"{value['hostname']} ({value['cpu_count']} CPUs)"
    if aspect == "page_cache":
        return f"{value:.0f} %"
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
        "conduct.on_error", "conduct.own_parts", "conduct.readers", "conduct.added_plugins",
        "conduct.changed_options", "page_cache_before_percent", "au_formula_variant",
        "benchmark_name", "layout.ranks", "storage.backend", "storage.client", "storage.fsync",
        "page_cache.state",
    )  # fmt: skip


def backend_of(reports: Sequence[Report]) -> str:
    """Return the backend whose adjustments count: that of the first run."""
    return _scheme(reports[0])
