"""Numbers as the page shows them: few digits, a unit, and no break between the two."""

from __future__ import annotations

import json
from typing import Any

from cm4storage.core.units import format_bytes, format_seconds

NOTHING = "\N{EN DASH}"
_FIXED = "\N{NO-BREAK SPACE}"


def duration(duration_s: float | None) -> str:
    """Return a duration, such as ``13.2 ms``."""
    if duration_s is None:
        return NOTHING
    if duration_s >= 7200:
        minutes = round(duration_s / 60)
        return _joined(f"{minutes // 60} h {minutes % 60} min")
    return _joined(format_seconds(duration_s).replace(" us", " \N{MICRO SIGN}s"))


def size(size_bytes: float | None) -> str:
    """Return a size, such as ``1.5 KiB``."""
    return NOTHING if size_bytes is None else _joined(format_bytes(size_bytes))


def number(value: float | None) -> str:
    """Return a number with three or four digits, and with separators from a thousand on."""
    if value is None:
        return NOTHING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def spread(stdev: float, mean: float | None) -> str:
    """Return a deviation with the digits that its mean is shown with."""
    digits = number(mean).rpartition(".")[2] if "." in number(mean) else ""
    return f"{stdev:,.{len(digits)}f}"


def signed_percent(value: float | None) -> str:
    """Return by how many percent something is above or below another."""
    if value is None:
        return NOTHING
    return f"{round(value, 1) + 0.0:+.1f}{_FIXED}%".replace("-", "\N{MINUS SIGN}")


def amount(value: float | None, unit: str) -> str:
    """Return a number with its unit."""
    return NOTHING if value is None else f"{number(value)}{_FIXED}{unit}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share that is given in percent."""
    return NOTHING if value is None else f"{value:.{digits}f}{_FIXED}%"


def threshold(value_percent: float) -> str:
    """Return a threshold without digits that it does not have."""
    return f"{value_percent:.6g}{_FIXED}%"


def setting(value: Any) -> str:
    """Return a value of the configuration: text as it is, all else as JSON."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _joined(text: str) -> str:
    return text.replace(" ", _FIXED)
