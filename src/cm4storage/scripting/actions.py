"""What ``cm run script`` and ``cm find script`` do, without cmind: the adapters' counterpart."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError, UsageError, UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.catalog import RecipeCatalog, recipe_line
from cm4storage.scripting.console import (
    Console,
    Secrets,
    closing_quietly,
    host_secrets,
    secret_texts,
    without_secrets,
)
from cm4storage.scripting.engine import Engine
from cm4storage.scripting.environment import host_environment
from cm4storage.scripting.follow_up import follow_up, recorded, refuse_without_terminal
from cm4storage.scripting.index import Repository, Summary
from cm4storage.scripting.metadata_files import as_path
from cm4storage.scripting.prepare import Call
from cm4storage.scripting.query import Query
from cm4storage.scripting.request import (
    Options,
    Request,
    parse_request,
    refuse_unknown_options,
    shows_lines,
    wants_json,
)
from cm4storage.scripting.session import Session, open_session
from cm4storage.scripting.signals import SignalGuard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cm4storage.scripting.cache import CacheStore

_INDEX_FILE = ".cm4storage-recipes"


@dataclass(frozen=True)
class Surroundings:
    """What an adapter knows of the CM installation.

    Parameters
    ----------
    repositories : sequence of Repository
        All registered repositories, in order of precedence.
    home : str
        The alias of the repository that holds the automation.
    local_place : str
        CM's local repository: the cache and the index of recipes live there.
    cm : object
        cmind's access object, for recipes that call other automations; None without cmind.
    """

    repositories: Sequence[Repository]
    home: str
    local_place: str | os.PathLike[str]
    cm: Any = None

    @property
    def local_folder(self) -> Path:
        """The folder of CM's local repository."""
        return as_path(self.local_place)

    @property
    def cache(self) -> CacheStore:
        """The cache of recipes' results."""
        from cm4storage.scripting.cache import CacheStore

        return CacheStore(as_path(self.cache_folder))

    @property
    def cache_folder(self) -> str:
        """Where the entries of the cache are."""
        return f"{os.fspath(self.local_place)}/cache"

    def catalog(self, console: Console) -> RecipeCatalog:
        """Return the catalog of all recipes; those of the home repository come first."""
        ordered = sorted(self.repositories, key=lambda r: r.alias != self.home)
        return RecipeCatalog(
            ordered, f"{os.fspath(self.local_place)}/{_INDEX_FILE}", console.warning
        )


def run_script(
    given: Mapping[str, Any], surroundings: Surroundings, secrets: Secrets | None = None
) -> dict[str, Any]:
    """Run the recipe that cmind's input dictionary asks for.

    Parameters
    ----------
    secrets : Secrets, optional
        Learns the secret values that the run meets.

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
    console = Console(stream, is_silent=options.is_silent, secrets=secrets)
    console.hide([*secret_texts(given), *host_secrets()])
    if options.wants_help:
        _show_help(request, surroundings, console)
        return {}
    if not (request.query.tags or request.query.name):
        from cm4storage.scripting.help import USAGE

        raise UsageError("which recipe? Give its tags", advice=USAGE)
    if options.opens_shell:
        refuse_without_terminal()
    catalog = surroundings.catalog(console)
    catalog.takes_first = options.is_quiet
    try:
        with (
            SignalGuard() as guard,
            open_session(
                console, options, _caller_folder(), guard, os.fspath(surroundings.local_place)
            ) as session,
            contextlib.closing(Engine(catalog, surroundings.cache_folder, session)) as engine,
        ):
            session.cm = surroundings.cm
            with recorded(given, session) as record:
                result = _run(request, surroundings, session, engine)
                record.update(result)
            follow_up(result["new_env"], session)
            return result
    except StorageBenchmarkError as error:
        _hide_secrets(error, console)
        raise


def find_scripts(given: Mapping[str, Any], surroundings: Surroundings) -> list[dict[str, Any]]:
    """Return the recipes with the tags asked for, or all, and list them."""
    refuse_unknown_options(given, ("repo",), "cm find script")
    console = Console(sys.stderr if wants_json(given) else sys.stdout)
    catalog = surroundings.catalog(console)
    query = parse_request(given).query
    found = sorted(catalog.matching(query), key=lambda recipe: recipe.alias)
    if shows_lines(given):
        for recipe in found:
            console.line(f"{recipe.alias:<36}  {','.join(catalog.load(recipe).tags)}")
            console.line(f"    {recipe.folder}", style="dim")
        if not found:
            console.line("no recipe has these tags")
    return [_plain_summary(recipe) for recipe in found]


def print_json(result: Any) -> None:
    """Write plain values to stdout as JSON."""
    with closing_quietly(sys.stdout):
        sys.stdout.write(json.dumps(result, indent=2, sort_keys=True) + "\n")
        sys.stdout.flush()


def _plain_summary(recipe: Summary) -> dict[str, Any]:
    return {
        "alias": recipe.alias,
        "uid": recipe.uid,
        "tags": sorted(recipe.tags),
        "variations": sorted(recipe.variations),
        "folder": recipe.place,
        "repository": recipe.repository,
    }


def _run(
    request: Request, surroundings: Surroundings, session: Session, engine: Engine
) -> dict[str, Any]:
    outcome = engine.run(
        Call(
            query=request.query,
            env={**host_environment(), **_flags_as_env(request.options), **request.env},
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
        _print_deps(session)
    result: dict[str, Any] = {
        "recipe": outcome.recipe,
        "new_env": dict(outcome.new_env),
        "new_state": dict(outcome.new_state),
    }
    if request.is_result_read:
        shown = session.console.shown
        steps = [step.as_json() for step in session.steps]
        result["recipes"] = [
            {name: shown(v) if isinstance(v, str) else v for name, v in step.items()}
            for step in steps
        ]
    if request.options.prints_times:
        result["times"] = session.stopwatch.as_json()
    return result


def _flags_as_env(options: Options) -> dict[str, str]:
    """Return the flags that recipes look at."""
    return {"CM_QUIET": "yes"} if options.is_quiet else {}


def _print_deps(session: Session) -> None:
    session.console.line()
    session.console.line("each recipe of this run, alone:", style="bold")
    depths: dict[str, int] = {}
    for step in session.steps:
        depths.setdefault(step.command, step.depth)
    for command, depth in depths.items():
        session.console.line(f"{'  ' * depth}{command}")


def _show_help(request: Request, surroundings: Surroundings, console: Console) -> None:
    from cm4storage.scripting.help import USAGE, recipe_help

    if not (request.query.tags or request.query.name):
        console.line(USAGE)
        return
    catalog = surroundings.catalog(console)
    query = Query(tags=request.query.tags, name=request.query.name)
    recipe = catalog.load(catalog.find(query, surroundings.home, is_dependency=False))
    for line in recipe_help(recipe):
        console.line(line)


def _caller_folder() -> str:
    try:
        return os.getcwd()
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
    "Secrets",
    "Surroundings",
    "find_scripts",
    "print_json",
    "recipe_line",
    "run_script",
    "wants_json",
    "without_secrets",
]
