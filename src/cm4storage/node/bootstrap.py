"""``cm bootstrap cm4storage``: set up or pin what a node needs before it goes offline."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError
from cm4storage.core.records import dataclass
from cm4storage.node.packages import Requirements
from cm4storage.node.pinning import Step, pinning_steps
from cm4storage.scripting.console import Console
from cm4storage.scripting.metadata_files import read_metadata
from cm4storage.scripting.request import is_on, refuse_unknown_options, wants_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.scripting.actions import Surroundings

_OPTIONS = ("branch", "checkout", "extras", "fake_run")
_BACKEND_RECIPE = "setup-storage-backend"
# With one of these the trial of a backend would turn to an endpoint of the user's.
_UNSET = ("AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_CONNECTION_STRING")


@dataclass(frozen=True)
class _Wish:
    """What the user asks for."""

    branch: str
    checkout: str
    extras: tuple[str, ...]
    is_dry: bool


def set_up(given: Mapping[str, Any], surroundings: Surroundings, repository: Path) -> Any:
    """Carry the steps out, each shown before it starts; with ``--fake_run`` show them only.

    Returns
    -------
    dict
        ``steps`` and ``is_dry``.

    Raises
    ------
    UserError
        If an extra does not exist, the checkout cannot be pinned, or a step fails.
    """
    wish = _wish(given)
    _refuse_unknown_extras(wish.extras, Requirements.read(repository))
    steps = list(_steps(wish, repository, surroundings.home))
    console = Console(sys.stderr if wants_json(given) else sys.stdout)
    for number, step in enumerate(steps, 1):
        console.line(f"step {number} of {len(steps)}: {step.purpose}", style="bold")
        console.line(f"$ {shlex.join(step.command)}")
        if not wish.is_dry:
            _carry_out(step, console, given)
    if wish.is_dry:
        console.line("nothing was done: --fake_run")
    else:
        console.line("this node is ready; runs by this cm need no network from now on")
    plain = [{"purpose": step.purpose, "command": list(step.command)} for step in steps]
    return {"steps": plain, "is_dry": wish.is_dry}


def _wish(given: Mapping[str, Any]) -> _Wish:
    refuse_unknown_options(given, _OPTIONS, "cm bootstrap cm4storage")
    texts = {}
    for name in ("branch", "checkout", "extras"):
        value = given.get(name, "")
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise UsageError(f"--{name} needs a value")
        texts[name] = str(value).strip()
    extras = (word.strip() for word in texts["extras"].split(","))
    return _Wish(
        texts["branch"],
        texts["checkout"],
        tuple(dict.fromkeys(word for word in extras if word)),
        is_on(given, "fake_run"),
    )


def _refuse_unknown_extras(extras: tuple[str, ...], known: Requirements) -> None:
    unknown = [name for name in extras if name not in known.extras]
    if unknown:
        raise UserError(
            f"this version has no extra {', '.join(map(repr, unknown))}",
            advice=f"it has: {', '.join(sorted(known.extras))}",
        )


def _steps(wish: _Wish, repository: Path, home: str) -> Iterator[Step]:
    yield from pinning_steps(repository, wish.branch, wish.checkout)
    if wish.branch or wish.checkout:
        yield Step("let cm see the recipes of that commit", _cm("reindex", "repo"))
    for extras in _combinations(wish.extras):
        purpose = f"a Python with cm4storage{' and ' + ', '.join(extras) if extras else ''}"
        yield Step(purpose, _recipe(home, "get,cm4storage,python", extras))
    variations = read_metadata(repository / "script" / _BACKEND_RECIPE).get("variations", {})
    for backend in ("file", *(name for name in wish.extras if name in variations)):
        purpose = f"the storage backend {backend}, tried out"
        yield Step(purpose, _recipe(home, "setup,storage,backend", (backend,)))
    yield Step("what is still wrong here", _cm("doctor", "cm4storage"))


def _combinations(extras: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield each choice of extras that a run can ask for: each makes its own environment."""
    for size in range(len(extras) + 1):
        yield from combinations(extras, size)


def _recipe(home: str, tags: str, variations: tuple[str, ...]) -> tuple[str, ...]:
    listed = ",".join((tags, *(f"_{name}" for name in variations)))
    return _cm("run", f"{home}:script", f"--tags={listed}", "--quiet")


def _cm(*words: str) -> tuple[str, ...]:
    # A process of its own: after the checkout has moved, its code is another than ours.
    return (sys.executable, "-m", "cmind", *words)


def _carry_out(step: Step, console: Console, given: Mapping[str, Any]) -> None:
    console.flush()
    environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
    if environment.get("CM_REPOS"):
        environment["CM_REPOS"] = str(Path(environment["CM_REPOS"]).absolute())
    # `python -m` imports from the current folder first; this one is empty.
    with tempfile.TemporaryDirectory(prefix="cm-bootstrap-") as folder:
        done = subprocess.run(
            step.command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if wants_json(given) else None,
            check=False,
        )
    if done.returncode != 0:
        raise UserError(
            f"a step failed: {step.purpose}",
            where=shlex.join(step.command),
            meaning=f"it ended with {done.returncode}; the steps before it are done",
            advice="mend what it says, and call cm bootstrap cm4storage again",
        )
