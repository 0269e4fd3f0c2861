"""What ``cm run script`` and ``cm find script`` do, without cmind: the adapters' counterpart."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import (
    StorageBenchmarkError,
    UsageError,
    UserError,
    is_secret_name,
    redact_url,
)
from cm4storage.scripting.cache import CacheStore
from cm4storage.scripting.catalog import RecipeCatalog, Repository, Summary, recipe_line
from cm4storage.scripting.console import Console
from cm4storage.scripting.engine import Engine
from cm4storage.scripting.environment import host_environment
from cm4storage.scripting.help import USAGE, recipe_help
from cm4storage.scripting.prepare import Call
from cm4storage.scripting.query import Query
from cm4storage.scripting.request import Request, parse_request
from cm4storage.scripting.session import Session, open_session
from cm4storage.scripting.signals import SignalGuard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INDEX_FILE = ".cm4storage-recipes.json"


@dataclass(frozen=True)
class Surroundings:
    """What an adapter knows of the CM installation.

    Parameters
    ----------
    repositories : sequence of Repository
        All registered repositories, in order of precedence.
    home : str
        The alias of the repository that holds the automation.
    local_folder : Path
        CM's local repository: the cache and the index of recipes live there.
    """

    repositories: Sequence[Repository]
    home: str
    local_folder: Path

    @property
    def cache(self) -> CacheStore:
        """The cache of recipes' results."""
        return CacheStore(self.local_folder / "cache")

    def catalog(self, console: Console) -> RecipeCatalog:
        """Return the catalog of all recipes; those of the home repository come first."""
        ordered = sorted(self.repositories, key=lambda r: r.alias != self.home)
        return RecipeCatalog(ordered, self.local_folder / _INDEX_FILE, console.warning)


def run_script(given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Run the recipe that cmind's input dictionary asks for.

    Returns
    -------
    dict
        The recipe, its ``new_env`` and ``new_state``, and every recipe's decision.

    Raises
    ------
    StorageBenchmarkError
        Holds no secret.
    Interrupted
        If SIGINT, SIGTERM or SIGHUP ended the run.
    """
    request = parse_request(given)
    options = request.options
    stream = sys.stderr if options.wants_json else sys.stdout
    console = Console(stream, is_silent=options.is_silent)
    if options.wants_help:
        _show_help(request, surroundings, console)
        return {}
    if not (request.query.tags or request.query.name):
        raise UsageError("which recipe? Give its tags", advice=USAGE)
    try:
        with (
            SignalGuard() as guard,
            open_session(console, options, _caller_folder(), guard) as session,
        ):
            return _run(request, surroundings, console, session)
    except StorageBenchmarkError as error:
        _hide_secrets(error, console)
        raise


def find_scripts(given: Mapping[str, Any], surroundings: Surroundings) -> list[Summary]:
    """Return the recipes with the tags asked for, or all, and list them."""
    console = Console(sys.stdout)
    catalog = surroundings.catalog(console)
    query = parse_request(given).query
    found = sorted(catalog.matching(query), key=lambda recipe: recipe.alias)
    if given.get("out") == "con":
        for recipe in found:
            console.line(f"{recipe.alias:<36}  {','.join(catalog.load(recipe).tags)}")
            console.line(f"    {recipe.folder}", style="dim")
        if not found:
            console.line("no recipe has these tags")
    return found


def without_secrets(result: Any) -> Any:
    """Return a result in which the values of secret variables are ``***``."""
    if isinstance(result, dict):
        return {
            name: "***" if is_secret_name(str(name)) and value else without_secrets(value)
            for name, value in result.items()
        }
    if isinstance(result, list):
        return [without_secrets(item) for item in result]
    return redact_url(result) if isinstance(result, str) else result


def print_json(result: Mapping[str, Any]) -> None:
    """Write a result to stdout as JSON; what JSON cannot hold is written as text."""
    shown = without_secrets(dict(result))
    sys.stdout.write(json.dumps(shown, indent=2, sort_keys=True, default=str) + "\n")
    sys.stdout.flush()


def _run(
    request: Request, surroundings: Surroundings, console: Console, session: Session
) -> dict[str, Any]:
    engine = Engine(surroundings.catalog(console), surroundings.cache, session)
    outcome = engine.run(
        Call(
            query=request.query,
            env={**host_environment(), **request.env},
            state=request.state,
            const=request.const,
            inputs=request.inputs,
            add_deps=request.add_deps,
            add_deps_recursive=request.add_deps_recursive,
            versions=request.versions,
            repository=surroundings.home,
        )
    )
    if request.options.prints_deps:
        _print_deps(session, console)
    return {
        "recipe": outcome.identity.recipe,
        "new_env": dict(outcome.new_env),
        "new_state": dict(outcome.new_state),
        "recipes": [asdict(step) for step in session.steps],
    }


def _print_deps(session: Session, console: Console) -> None:
    console.line()
    console.line("each recipe of this run, alone:", style="bold")
    for step in session.steps:
        console.line(f"{'  ' * step.depth}cm run script --tags={step.tags}")


def _show_help(request: Request, surroundings: Surroundings, console: Console) -> None:
    if not (request.query.tags or request.query.name):
        console.line(USAGE)
        return
    catalog = surroundings.catalog(console)
    query = Query(tags=request.query.tags, name=request.query.name)
    recipe = catalog.load(catalog.find(query, surroundings.home, is_dependency=False))
    for line in recipe_help(recipe):
        console.line(line)


def _caller_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UserError(
            "the current folder does not exist any more", advice="cd to another"
        ) from error


def _hide_secrets(error: StorageBenchmarkError, console: Console) -> None:
    for name in ("what", "where", "meaning", "advice", "details"):
        if hasattr(error, name):
            setattr(error, name, console.shown(getattr(error, name)))


__all__ = [
    "Repository",
    "Surroundings",
    "find_scripts",
    "print_json",
    "recipe_line",
    "run_script",
    "without_secrets",
]
