"""The two engines side by side: how each is set up, run, and its results made comparable."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHECKOUT = Path(__file__).resolve().parents[2]
DRIVE = Path(__file__).with_name("drive.py")
ORACLE_VARIABLE = "CM4STORAGE_ORACLE_PYTHON"
"""Names the Python of the environment that holds cmx4mlops."""

_LONGEST_S = 1200.0
_UID = re.compile(r"\b[0-9a-f]{16}\b")
_RUN_FOLDER = re.compile(r"<home>/tmp/cm-run-[^/]+/\d+-[^/:]+")


def oracle_python() -> str:
    """Return the Python with the original engine; "" if there is none."""
    return os.environ.get(ORACLE_VARIABLE, "")


@dataclass(frozen=True)
class Result:
    """What a run put out, in words that do not depend on the engine's folders."""

    status: int
    env: Mapping[str, Any]
    state: Mapping[str, Any]
    phases: tuple[str, ...]
    error: str = field(compare=False, default="")


@dataclass
class Engine:
    """An interpreter with a CM installation of its own."""

    name: str
    python: str
    home: Path
    automation: str
    steps_run: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes: nothing of the host but the search path."""
        return {
            "PATH": _path(),
            "HOME": str(self.home),
            "CM_REPOS": str(self.home / "cm"),
            "TMPDIR": str(self.home / "tmp"),
            "LC_ALL": "C.UTF-8",
            "PIP_REQUIRE_VIRTUALENV": "1",  # no recipe may change the host's Python
        }

    def register(self, folder: Path) -> None:
        """Register a repository of recipes."""
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        command = [self.python, "-m", "cmind", "init", "repo", f"--path={folder}"]
        subprocess.run(
            command, cwd=self.home, env=self.environment, check=True, capture_output=True
        )

    def run(self, steps: Iterable[Mapping[str, Any]]) -> list[Result]:
        """Run steps one after another, each in a folder of its own."""
        listed = [self._step(step) for step in steps]
        found = self._driven(listed)
        return [self._result(each, step) for each, step in zip(found, listed, strict=True)]

    def run_raw(self, steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Run steps and return what the engine returned."""
        return self._driven([self._step(step) for step in steps])

    def _driven(self, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked, answered = self.home / "steps.json", self.home / "results.json"
        asked.write_text(json.dumps(listed), encoding="utf-8")
        with (self.home / "output.txt").open("w", encoding="utf-8") as output:
            subprocess.run(
                [self.python, str(DRIVE), str(asked), str(answered)],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=_LONGEST_S,
            )
        return list(json.loads(answered.read_text(encoding="utf-8")))

    def _step(self, step: Mapping[str, Any]) -> dict[str, Any]:
        self.steps_run += 1
        folder = self.home / "caller" / f"{self.steps_run:03d}"
        folder.mkdir(parents=True)
        given = {"automation": self.automation, "quiet": True, **step}
        return {"input": given, "folder": str(folder), "log": str(folder.with_suffix(".log"))}

    def _result(self, found: Mapping[str, Any], step: Mapping[str, Any]) -> Result:
        clean = _Cleaner(self.home, Path(step["folder"]))
        return Result(
            status=found["return"],
            env=clean(found.get("new_env", {})),
            state=clean(found.get("new_state", {})),
            phases=tuple(clean(found["log"])),
            error=found.get("error", ""),
        )


def _path() -> str:
    """Return the search path without the folders of virtual environments of either engine."""
    own = {str(Path(python).parent) for python in (sys.executable, oracle_python()) if python}
    return os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if each not in own)


@dataclass(frozen=True)
class _Cleaner:
    """Replaces what differs from engine to engine by a word: folders and uids of cache entries."""

    home: Path
    caller: Path

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        if not isinstance(value, str):
            return value
        text = value.replace(str(self.caller), "<work>").replace(str(self.home), "<home>")
        return _RUN_FOLDER.sub("<work>", _UID.sub("<uid>", text))


def describe(ours: Result, original: Result) -> list[str]:
    """Return the parts in which two results differ."""
    pairs = {
        "status": (bool(ours.status), bool(original.status)),
        "env": (ours.env, original.env),
        "state": (ours.state, original.state),
        "phases": (ours.phases, original.phases),
    }
    return [part for part, (one, other) in pairs.items() if one != other]
