"""Put the recipes and automations into the wheel, as ``cm4storage/repo``.

An editable installation gets no such copy: it would freeze the recipes of that day beside a
library that moves on, and the checkout itself is the repository.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RepositoryInWheel(BuildHookInterface):  # type: ignore[type-arg]
    """Map the repository's parts into the package when a real wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the mapping for the ``standard`` wheel only."""
        if version == "standard":
            for name in ("cmr.yaml", "script", "automation"):
                build_data["force_include"][name] = f"cm4storage/repo/{name}"
