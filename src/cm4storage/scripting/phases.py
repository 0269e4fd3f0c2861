"""One recipe's own work, in CM's order: hooks, run.sh, and the dependencies between them."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError, StorageFault, UserError
from cm4storage.scripting.environment import merge, substitute
from cm4storage.scripting.failures import RecipeFailure, status_cause, status_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.session import Session

ENV_FILE = "tmp-run-env.out"
STATE_FILE = "tmp-run-state.json"
WRAPPER_FILE = "tmp-run.sh"

# Commands that follow this project's exit codes have printed what went wrong.
_EXPLAINED_STATUSES = (1, 2, 3)


def run_phases(
    session: Session,
    prepared: Prepared,
    folder: Path | None,
    run_dependencies: Callable[[str], object],
) -> None:
    """Run a recipe in `folder`; what it puts out is then in ``prepared.env`` and ``.state``.

    Parameters
    ----------
    folder : Path or None
        The working folder; None for a recipe without code.
    run_dependencies : callable
        Runs the dependencies of the phase that it is given.

    Raises
    ------
    RecipeFailure
        Names the chain of recipes, the phase, and the command that reruns only this recipe.
    """
    if folder is None:
        _run_dependencies_alone(session, prepared, run_dependencies)
        return
    from cm4storage.scripting.hooks import call_hook, load_hooks

    _set_places(session, prepared, folder)
    with _failing(prepared, "preprocess"):
        hooks = load_hooks(prepared.recipe)
    answer = {}
    if hooks is not None:
        with _failing(prepared, "preprocess"), session.guard.interruptible():
            answer = call_hook(hooks, "preprocess", prepared, folder)
    # What customize.py made of a mapped input is what counts from here on.
    prepared.const = {k: prepared.env.get(k, v) for k, v in prepared.const.items()}
    if answer.get("skip"):
        return
    run_dependencies("prehook_deps")
    with _failing(prepared, "run.sh"):
        _run_script(session, prepared, folder)
    run_dependencies("posthook_deps")
    if hooks is not None:
        with _failing(prepared, "postprocess"), session.guard.interruptible():
            call_hook(hooks, "postprocess", prepared, folder)
    run_dependencies("post_deps")
    session.guard.check()


def _run_dependencies_alone(
    session: Session, prepared: Prepared, run_dependencies: Callable[[str], object]
) -> None:
    """Do what is left of a run where the recipe has no code."""
    if prepared.script_name != "run":
        _run_script(session, prepared, prepared.recipe.folder)  # which it says is missing
    for phase in ("prehook_deps", "posthook_deps", "post_deps"):
        run_dependencies(phase)
    session.guard.check()


def parse_env_file(text: str) -> dict[str, str]:
    r"""Return the variables in a ``tmp-run-env.out``.

    Each line is KEY=VALUE. If the text holds a NUL, each record ends with one instead, so that
    values may have several lines: ``printf 'KEY=%s\0' "$VALUE"``.

    >>> parse_env_file("A=1\nB=x=y\n")
    {'A': '1', 'B': 'x=y'}
    """
    records = text.split("\0") if "\0" in text else text.split("\n")
    found = {}
    for record in records:
        name, equals, value = record.partition("=")
        if equals and name.strip():
            found[name.strip()] = value
    return found


def _set_places(session: Session, prepared: Prepared, folder: Path) -> None:
    prepared.env["CM_TMP_CURRENT_PATH"] = str(session.caller_folder)
    prepared.env["CM_TMP_CURRENT_SCRIPT_PATH"] = prepared.recipe.place
    prepared.env["CM_TMP_CURRENT_SCRIPT_WORK_PATH"] = str(folder)


def _run_script(session: Session, prepared: Prepared, folder: Path) -> None:
    script = prepared.recipe.folder / f"{prepared.script_name}.sh"
    if not script.is_file():
        if prepared.script_name != "run":
            raise UserError(f"the recipe has no {script.name}", where=str(prepared.recipe.folder))
        return
    from cm4storage.scripting.logs import run_logged  # many recipes start no process

    substitute(prepared.env, must_be_known=True)
    wrapper = folder / WRAPPER_FILE
    status = run_logged(session, prepared.recipe.alias, script, wrapper, prepared.env)
    if status:
        raise RecipeFailure(status_text(status), status=status, meaning=status_cause(status))
    _collect(prepared, folder)


def _collect(prepared: Prepared, folder: Path) -> None:
    """Take over what run.sh wrote for its recipe; the files do not stay in a cache entry."""
    with contextlib.suppress(FileNotFoundError):
        # Not read_text: it would turn \r\n inside a value into \n.
        data = (folder / ENV_FILE).read_bytes()
        merge(prepared.env, parse_env_file(os.fsdecode(data)))
    with contextlib.suppress(FileNotFoundError):
        merge(prepared.state, _read_state(folder / STATE_FILE))
    for name in (ENV_FILE, STATE_FILE, WRAPPER_FILE):
        (folder / name).unlink(missing_ok=True)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path.name} is no JSON", where=str(path), meaning=str(error)) from error
    if not isinstance(value, dict):
        raise UserError(f"{path.name} must hold an object", where=str(path))
    return value


@contextlib.contextmanager
def _failing(prepared: Prepared, phase: str) -> Iterator[None]:
    """Add to an error where it happened and how to run only this recipe again."""
    try:
        yield
    except RecipeFailure as error:
        from cm4storage.scripting.rerun import rerun_command

        explained = phase == "run.sh" and error.status in _EXPLAINED_STATUSES
        raise RecipeFailure(
            _headline(prepared, phase, error),
            status=error.status,
            where=f"{' > '.join(prepared.chain)}, phase {phase}",
            meaning="its own message is above" if explained else error.meaning,
            advice=f"to run only this recipe again:\n{rerun_command(prepared)}",
            details=error.details,
        ) from error
    except OSError as error:
        raise StorageFault(
            f"{prepared.recipe.alias}: {error.strerror or error}",
            where=f"{error.filename or ''}\n{' > '.join(prepared.chain)}, phase {phase}".strip(),
        ) from error
    except StorageBenchmarkError as error:
        chain = f"{' > '.join(prepared.chain)}, phase {phase}"
        error.where = f"{error.where}\n{chain}" if error.where else chain
        raise


def _headline(prepared: Prepared, phase: str, error: RecipeFailure) -> str:
    alias = prepared.recipe.alias
    if error.details:
        return error.what  # an exception: recipe, file and line come first
    return f"{alias}: run.sh: {error.what}" if phase == "run.sh" else f"{alias}: {error.what}"
