"""Sizes and durations for people. MB is 10**6 bytes, MiB is 2**20."""

from __future__ import annotations

KIB = 2**10
MIB = 2**20
GIB = 2**30

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_bytes(size_bytes: float) -> str:
    """Return a size in the largest binary unit that keeps it at 1 or more.

    >>> format_bytes(1536)
    '1.5 KiB'
    """
    value = float(size_bytes)
    for unit in _BINARY_UNITS[:-1]:
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_BINARY_UNITS[-1]}"


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it is not 1.

    >>> format_count(2, "step")
    '2 steps'
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_seconds(duration_s: float) -> str:
    """Return a duration with a unit that suits its length.

    >>> format_seconds(0.0123)
    '12.3 ms'
    """
    if duration_s < 1e-3:
        return f"{duration_s * 1e6:.0f} us"
    if duration_s < 1:
        return f"{duration_s * 1e3:.1f} ms"
    if duration_s < 120:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes} min {seconds} s"
