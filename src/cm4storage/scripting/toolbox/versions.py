"""Versions as recipes write them: how two compare, and which ones a call accepts."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


def compare_versions(first: str, second: str) -> int:
    """Return -1, 0 or 1 as `first` is before, the same as or after `second`.

    Numbers compare as numbers, a missing part counts as 0, and a word (``rc1``) comes before
    every number.

    >>> compare_versions("3.9", "3.10"), compare_versions("3.9", "3.9.0")
    (-1, 0)
    >>> compare_versions("2.0rc1", "2.0")
    -1
    """
    for one, other in zip_longest(_parts(first), _parts(second), fillvalue=(1, 0, "")):
        if one != other:
            return -1 if one < other else 1
    return 0


def _parts(version: str) -> list[tuple[int, int, str]]:
    words = re.findall(r"\d+|[A-Za-z]+", version.strip().removeprefix("v"))
    return [(1, int(word), "") if word.isdigit() else (0, 0, word.lower()) for word in words]


@dataclass(frozen=True)
class VersionLimits:
    """The version that a call asks for, or its limits; "" where it asks for nothing."""

    exact: str = ""
    least: str = ""
    most: str = ""

    @classmethod
    def of(cls, env: Mapping[str, Any]) -> VersionLimits:
        """Return the limits that stand in a recipe's environment."""
        keys = ("CM_VERSION", "CM_VERSION_MIN", "CM_VERSION_MAX")
        return cls(*(str(env.get(key, "")).strip() for key in keys))

    def accepts(self, version: str) -> bool:
        """Tell whether a version that was found is the one, or within the limits."""
        return (not self.exact or version == self.exact) and self.includes(version)

    def includes(self, version: str) -> bool:
        """Tell whether a version is within the limits, whatever exact one was asked for."""
        if self.least and compare_versions(version, self.least) < 0:
            return False
        return not self.most or compare_versions(version, self.most) <= 0

    def nearest(self, version: str, most_usable: str = "") -> str:
        """Return `version`, or the limit that it exceeds; `most_usable` stands for the upper."""
        if self.least and compare_versions(version, self.least) < 0:
            version = self.least
        if self.most and compare_versions(version, self.most) > 0:
            version = most_usable or self.most
        return version

    def __str__(self) -> str:
        """Return the limits for people: ``>= 3.8, <= 3.12``."""
        pairs = (("==", self.exact), (">=", self.least), ("<=", self.most))
        return ", ".join(f"{sign} {version}" for sign, version in pairs if version)
