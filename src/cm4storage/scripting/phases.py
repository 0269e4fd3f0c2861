"""One recipe's own work, in CM's order: hooks, run.sh, and the dependencies between them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageBenchmarkError, StorageFault, UserError
from cm4storage.scripting.environment import substitute
from cm4storage.scripting.failures import RecipeFailure, status_cause, status_text
from cm4storage.scripting.hooks import call_hook, load_hooks
from cm4storage.scripting.toolbox.habits import (
    PREFIXED_FILE,
    check_version,
    clean,
    give_state,
    map_keys,
    note_answer,
    pip_version,
    prefixed,
    run_instead,
    show_files,
    work_folder,
)
from cm4storage.scripting.toolbox.stage import (
    ENV_FILE,
    GIVEN_STATE_FILE,
    RUN_STATE_FILE,
    Stage,
    collect,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.session import Session

WRAPPER_FILE = "tmp-run.sh"

# Commands that follow this project's exit codes have printed what went wrong.
_EXPLAINED_STATUSES = (1, 2, 3)


def run_phases(
    session: Session,
    prepared: Prepared,
    folder: Path,
    run_dependencies: Callable[[str], object],
) -> None:
    """Run a recipe in `folder`; what it puts out is then in ``prepared.env`` and ``.state``.

    Parameters
    ----------
    folder : Path
        The working folder.
    run_dependencies : callable
        Runs the dependencies of the phase that it is given.

    Raises
    ------
    RecipeFailure
        Names the chain of recipes, the phase, and the command that reruns only this recipe.
    """
    folder = work_folder(session, prepared, folder)
    _set_places(session, prepared, folder)
    clean(prepared, folder)
    with _failing(session, prepared, "preprocess"):
        hooks = load_hooks(prepared.recipe)
    stage = Stage(session, prepared, folder, hooks, _starter(session, folder))
    with _failing(session, prepared, "preprocess"), session.guard.interruptible():
        answer = call_hook(stage, "preprocess")
    note_answer(prepared, answer)
    # What customize.py made of a mapped input is what counts from here on.
    prepared.const = {k: prepared.env.get(k, v) for k, v in prepared.const.items()}
    if answer.get("skip"):
        run_instead(stage, answer.get("script"), run_dependencies)
        return
    run_dependencies("prehook_deps")
    with _failing(session, prepared, "run.sh"):
        _run_script(stage)
    run_dependencies("posthook_deps")
    with _failing(session, prepared, "postprocess"), session.guard.interruptible():
        note_answer(prepared, call_hook(stage, "postprocess"))
    with _failing(session, prepared, "version"):
        check_version(prepared)
    run_dependencies("post_deps")
    session.guard.check()


def _set_places(session: Session, prepared: Prepared, folder: Path) -> None:
    prepared.env["CM_TMP_CURRENT_PATH"] = str(session.caller_folder)
    prepared.env["CM_TMP_CURRENT_SCRIPT_PATH"] = prepared.recipe.place
    prepared.env["CM_TMP_CURRENT_SCRIPT_WORK_PATH"] = str(folder)
    prepared.env["CM_TMP_PIP_VERSION_STRING"] = pip_version(prepared.env)


def _run_script(stage: Stage) -> None:
    prepared, folder = stage.prepared, stage.folder
    map_keys(prepared)
    script = stage.script(stage.run_script_input)
    if not script.is_file():
        if prepared.script_name != "run":
            raise UserError(f"the recipe has no {script.name}", where=str(prepared.recipe.folder))
        return
    substitute(prepared.env, must_be_known=True)
    give_state(stage)
    try:
        status = stage.start(script, prepared.env)
        if status:
            show_files(stage)
            raise RecipeFailure(status_text(status), status=status, meaning=status_cause(status))
        collect(folder, prepared.env, prepared.state)
    finally:
        # They do not stay in a cache entry.
        for name in (ENV_FILE, RUN_STATE_FILE, GIVEN_STATE_FILE, WRAPPER_FILE, PREFIXED_FILE):
            (folder / name).unlink(missing_ok=True)


def _starter(session: Session, folder: Path) -> Callable[[Stage, Path, Mapping[str, Any]], int]:
    """Return what runs a script of a recipe in `folder`."""

    def start(stage: Stage, script: Path, env: Mapping[str, Any]) -> int:
        from cm4storage.scripting.logs import run_logged  # many recipes start no process

        wrapper = folder / WRAPPER_FILE
        _keep_private(folder / ENV_FILE)
        alias = stage.prepared.recipe.alias
        return run_logged(session, alias, prefixed(stage, script), wrapper, env)

    return start


def _keep_private(file: Path) -> None:
    """Let nobody else read what a script puts out, which may hold secrets."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _failing(session: Session, prepared: Prepared, phase: str) -> Iterator[None]:
    """Add to an error where it happened and how to run only this recipe again."""
    try:
        yield
    except RecipeFailure as error:
        from cm4storage.scripting.rerun import rerun_command

        command = rerun_command(prepared, session.console.shown)
        explained = phase == "run.sh" and error.status in _EXPLAINED_STATUSES
        raise RecipeFailure(
            _headline(prepared, phase, error),
            status=error.status,
            where=f"{' > '.join(prepared.chain)}, phase {phase}",
            meaning="its own message is above" if explained else error.meaning,
            advice=f"to run only this recipe again:\n{command}",
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
