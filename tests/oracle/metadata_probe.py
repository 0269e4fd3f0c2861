"""What every recipe of cmx4mlops, with each of its variations, would set and ask for.

The original is asked with ``fake_run`` and ``fake_deps``: it then resolves metadata only. Under
these flags it forgets local variables at the first dependency; `_asked` does as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import is_unresolved, matches_any, selected
from cm4storage.scripting.metadata import parse_recipe
from cm4storage.scripting.metadata_files import METADATA_FILES
from cm4storage.scripting.prepare import Call, dependency_call, prepare
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cm4storage.scripting.metadata import Recipe
    from cm4storage.scripting.prepare import Prepared


@dataclass(frozen=True)
class Resolution:
    """Variables that are put out, and the tags of the dependencies in their order."""

    failed: bool
    env: Mapping[str, Any]
    asked: tuple[tuple[str, ...], ...]
    error: str = ""

    def same_as(self, other: Resolution) -> bool:
        """Tell whether two engines resolved alike."""
        if self.failed or other.failed:
            return self.failed == other.failed
        return (self.env, self.asked) == (other.env, other.asked)


def recipes_of(repository: Path) -> Iterator[Recipe]:
    """Yield the recipes of a repository; of two with one uid the first."""
    seen: set[str] = set()
    for folder in sorted((repository / "repo" / "script").iterdir()):
        if any((folder / name).exists() for name in METADATA_FILES):
            recipe = parse_recipe(folder, "cmx4mlops")
            if recipe.uid not in seen:
                seen.add(recipe.uid)
                yield recipe


def choices(recipe: Recipe) -> list[str]:
    """Return no variation, and each one; ``x.#`` with a value."""
    return ["", *(name.replace("#", "x7") for name in recipe.variations if "," not in name)]


def step_of(recipe: Recipe, choice: str) -> dict[str, Any]:
    """Return the call that makes the original resolve a recipe."""
    tags = f"_{choice}" if choice else ""
    flags = {"fake_run": True, "fake_deps": True, "quiet": True}
    return {"artifact": f"{recipe.alias},{recipe.uid}", "tags": tags, **flags}


def original_resolution(found: Mapping[str, Any]) -> Resolution:
    """Return a resolution from what the original returned."""
    error = str(found.get("error", ""))
    asked = tuple(_sorted_tags(tags) for tags in found.get("deps", ()))
    return Resolution(bool(found["return"]), _plain(found.get("new_env", {})), asked, error)


def our_resolution(recipe: Recipe, choice: str) -> Resolution:
    """Return how this engine resolves a recipe."""
    query = Query(name=recipe.alias, variations=(choice,) if choice else ())
    given = {"CM_QUIET": "yes", "CM_TMP_FAKE_RUN": "yes"}
    try:
        prepared = prepare(recipe, Call(query=query, env=given), Path("/"))
        asked = tuple(_asked(prepared))
    except StorageBenchmarkError as error:
        return Resolution(failed=True, env={}, asked=(), error=str(error))
    env = selected(prepared.env, prepared.new_env_keys)
    return Resolution(failed=False, env=_plain(env), asked=asked)


def _asked(prepared: Prepared) -> Iterator[tuple[str, ...]]:
    for phase in ("deps", "prehook_deps"):
        for dependency in prepared.dependencies[phase]:
            if not dependency.tags or not takes_part(dependency.conditions, prepared.env):
                continue
            if dependency.skip_if_fake_run and "CM_TMP_FAKE_RUN" in prepared.env:
                continue
            yield _sorted_tags(dependency_call(prepared, dependency).query.text())
            for name, value in list(prepared.env.items()):
                if matches_any(name, prepared.local_keys) or is_unresolved(value):
                    del prepared.env[name]


def _sorted_tags(tags: str) -> tuple[str, ...]:
    words: Iterable[str] = {tag.strip().replace("_-", "-_") for tag in tags.split(",")}
    return tuple(sorted(tag for tag in words if tag))


def _plain(env: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in env.items()
        if not name.startswith("CM_TMP_") and not is_unresolved(value)
    }
