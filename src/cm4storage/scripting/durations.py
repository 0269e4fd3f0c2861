"""Durations as people write them: ``90s``, ``15m``, ``12h``, ``30d``, ``2w``."""

from __future__ import annotations

import datetime
import re

from cm4storage.core.errors import UsageError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_NAMES = (("d", "day"), ("h", "hour"), ("m", "minute"))
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)


def parse_duration_s(text: str, flag: str) -> float:
    """Return the seconds in a duration.

    Parameters
    ----------
    flag : str
        The option that the text comes from, for the error.

    Raises
    ------
    UsageError
        If the text is no number with one of the units s, m, h, d, w.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--{flag}={text} is no duration",
            meaning="a number and a unit are needed: s, m (minutes), h, d or w",
            advice=f"for example --{flag}=30d",
        )
    return float(match[1]) * _UNITS_S[match[2].lower()]


def age_s(created: str) -> float:
    """Return how long ago a time of ISO 8601 was; 0 for one that is no such time."""
    try:
        then = datetime.datetime.fromisoformat(created)
    except ValueError:
        return 0.0
    return max(0.0, (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds())


def format_age(duration_s: float) -> str:
    """Return an age in its largest unit, rounded down.

    >>> format_age(7300)
    '2 hours old'
    """
    for unit, name in _NAMES:
        count = int(duration_s // _UNITS_S[unit])
        if count:
            return f"{count} {name}{'s' if count > 1 else ''} old"
    return "new"
