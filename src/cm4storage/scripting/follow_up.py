"""What flags ask for once the recipe has run: its variables, times, a record, a shell."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError, UserError
from cm4storage.scripting.environment import exported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.scripting.session import Session


def refuse_without_terminal() -> None:
    """Raise where nobody could use the shell, before anything is run for it.

    Raises
    ------
    UserError
        If stdin or stdout is no terminal.
    """
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "--shell needs a terminal, and there is none here",
            advice="use --save_env, then: . ./cm-env.sh",
        )


@contextlib.contextmanager
def recorded(given: Mapping[str, Any], session: Session) -> Iterator[dict[str, Any]]:
    """Record a run under ``--repro``, also one that fails; the caller fills in the result."""
    result: dict[str, Any] = {}
    if not session.options.is_recorded:
        yield result
        return
    from cm4storage.scripting.reproduction import write_reproduction

    try:
        yield result
    except StorageBenchmarkError as error:
        result["error"] = error.render()
        write_reproduction(given, result, session)
        raise
    session.console.line(f"recorded: {write_reproduction(given, result, session)}")


def follow_up(env: Mapping[str, Any], session: Session) -> None:
    """Do what the flags ask for with the variables that the recipe has put out."""
    options, console = session.options, session.console
    if options.prints_times:
        for line in session.stopwatch.lines():
            console.line(line)
    if options.prints_env:
        from cm4storage.scripting.saved_env import env_lines

        for line in env_lines(env, console):
            console.line(line)
    if options.saves_env:
        from pathlib import Path

        from cm4storage.scripting.saved_env import save_env

        written = save_env(env, Path(session.caller_folder), console)
        console.line(f"saved: {', '.join(map(str, written))}")
    if options.opens_shell:
        _open_shell(session, env)


def _open_shell(session: Session, env: Mapping[str, Any]) -> None:
    """Open the user's shell in the caller's folder, and wait until it ends.

    It belongs to the user: nothing is guarded or recorded in it. What the run has started, such
    as a server, lives until the shell ends.
    """
    import shutil
    import subprocess

    given = os.environ.get("SHELL", "")
    shell = given if shutil.which(given) else shutil.which("bash") or "/bin/sh"
    variables = exported(env, os.environ)
    variables["PATH"] = session.guards.removed(variables.get("PATH", os.defpath))
    session.console.line(f"{shell} with the variables of this run; exit ends it")
    session.console.flush()
    subprocess.run([shell, "-i"], env=variables, cwd=session.caller_folder, check=False)
