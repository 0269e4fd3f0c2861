"""Put the recipes and automations into the wheel, as ``cm4storage/repo``.

An editable installation gets no such copy: it would freeze the recipes of that day beside a
library that moves on, and the checkout itself is the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterator


class RepositoryInWheel(BuildHookInterface):  # type: ignore[type-arg]
    """Map the repository's files into the package when a real wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the mapping for the ``standard`` wheel only."""
        if version == "standard":
            for path in self._repository():
                build_data["force_include"][path] = f"cm4storage/repo/{path}"

    def _repository(self) -> Iterator[str]:
        """Yield the repository's files, relative to the root, but none that git would ignore."""
        root = Path(self.root)
        for part in ("automation", "script"):
            for file in sorted((root / part).rglob("*")):
                path = file.relative_to(root)
                if file.is_file() and not self._is_ignored(path):
                    yield path.as_posix()
        yield "cmr.yaml"
        yield "meta.yaml"

    def _is_ignored(self, path: Path) -> bool:
        # hatchling drops .gitignore's patterns when one fits a folder above the root ("build/").
        hidden = any(name.startswith(".") or name == "__pycache__" for name in path.parts)
        return hidden or self.build_config.path_is_excluded(path.as_posix())
