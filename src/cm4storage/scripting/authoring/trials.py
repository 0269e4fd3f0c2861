"""One run of a recipe as a test: in a cache, a folder and an output of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.core.records import dataclass, replace
from cm4storage.scripting.actions import Secrets, run_script
from cm4storage.scripting.failures import exit_status
from cm4storage.scripting.hooks import inside
from cm4storage.scripting.private_folder import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.scripting.actions import Surroundings
    from cm4storage.scripting.authoring.cases import Case

_SHOWN_LINES = 15


@dataclass(frozen=True)
class Verdict:
    """What came of a test.

    Parameters
    ----------
    problems : sequence of str
        What was not as expected; empty for a test that passed.
    skipped : str
        Why it was not run; "" if it was.
    log : sequence of str
        The last lines of what it printed.
    """

    case: Case
    problems: Sequence[str]
    duration_s: float = 0.0
    skipped: str = ""
    log: Sequence[str] = ()

    @property
    def outcome(self) -> str:
        """``passed``, ``failed`` or ``skipped``."""
        if self.skipped:
            return "skipped"
        return "failed" if self.problems else "passed"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "recipe": self.case.recipe.alias,
            "number": self.case.number,
            "description": self.case.description,
            "variations": list(self.case.variations),
            "outcome": self.outcome,
            "problems": list(self.problems),
            "skipped": self.skipped,
            "duration_s": round(self.duration_s, 3),
        }


@dataclass(frozen=True)
class Laboratory:
    """Where tests run: what the user's cache holds neither helps nor hinders them."""

    folder: Path
    surroundings: Surroundings

    def try_out(self, case: Case) -> Verdict:
        """Run a test and judge it."""
        if case.missing:
            return Verdict(case, (), skipped=f"needs {', '.join(case.missing)}")
        caller = Path(tempfile.mkdtemp(prefix="caller-", dir=self.folder))
        log_file = caller.with_name(f"{caller.name}.log")
        begin_s, secrets = time.monotonic(), Secrets()
        with inside(caller), _output_to(log_file):
            status, env = self._run(case, secrets)
        duration_s = time.monotonic() - begin_s
        output = log_file.read_text(encoding="utf-8", errors="backslashreplace")
        problems = tuple(map(secrets.shown, case.expectation.problems(status, env, output)))
        log = secrets.shown(output).splitlines()[-_SHOWN_LINES:]
        return Verdict(case, problems, duration_s, log=log)

    def _run(self, case: Case, secrets: Secrets) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the outputs of a run; an error is printed."""
        given = {
            **case.given,
            "artifact": case.recipe.uid,
            "tags": ",".join(case.variations),
            "quiet": True,
            "renew": True,  # what the recipe needs may come from the cache; itself, it runs
        }
        surroundings = replace(self.surroundings, home=case.recipe.repository)
        try:
            return 0, run_script(given, surroundings, secrets)["new_env"]
        except StorageBenchmarkError as error:
            sys.stderr.write(f"{secrets.shown(error.render())}\n")
            return exit_status(error), {}


@contextlib.contextmanager
def open_laboratory(surroundings: Surroundings) -> Iterator[Laboratory]:
    """Make a private cache; remove it in the end.

    Raises
    ------
    StorageFault
        If there is no place for it.
    """
    with private_folder("test-") as folder:
        yield Laboratory(folder, replace(surroundings, local_place=folder / "local"))


@contextlib.contextmanager
def _output_to(file: Path) -> Iterator[None]:
    """Send what this process and its children print to a file for a time."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with (
            file.open("w", encoding="utf-8", errors="backslashreplace", buffering=1) as stream,
            contextlib.redirect_stdout(stream),
            contextlib.redirect_stderr(stream),
        ):
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept[0], 1)
                os.dup2(kept[1], 2)
    finally:
        for descriptor in kept:
            os.close(descriptor)
