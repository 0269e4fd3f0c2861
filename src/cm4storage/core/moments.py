"""Moments as the records have them."""

from __future__ import annotations

from datetime import datetime


def local_now() -> str:
    """Return the local wall-clock time, ISO 8601 with microseconds and without an offset."""
    return datetime.now().astimezone().replace(tzinfo=None).isoformat(timespec="microseconds")
