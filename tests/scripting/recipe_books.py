"""Recipes that a test writes, and the two ways to run them: the command and the library."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.scripting.actions import Surroundings, run_script

if TYPE_CHECKING:
    import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

WRITE = """
    def preprocess(i):
        with open("made.txt", "w") as stream:
            stream.write("made")
        i["env"]["PLACE"] = i["env"]["CM_TMP_CURRENT_SCRIPT_WORK_PATH"]
"""

CACHED: dict[str, Any] = {
    "cache": True,
    "input_mapping": {"size": "SIZE", "config": "CONFIG", "where": "WHERE"},
    "input_description": {"config": {"type": "file"}, "where": {"type": "path"}},
    "default_env": {"SIZE": "1", "MODE": "plain"},
    "new_env_keys": ["PLACE", "PORT"],
    "volatile_env_keys": ["PORT"],
    "variations": {
        "small": {"group": "kind", "default": True},
        "large": {"group": "kind", "env": {"KIND": "large"}},
        "loud": {},
    },
}


USES = """
    touch "$CM_TMP_CURRENT_PATH/using"
    while [ ! -e "$CM_TMP_CURRENT_PATH/enough" ]; do sleep 0.02; done
"""
"""A run.sh that goes on, with the entries that its recipe needs in use, until it is enough."""


def uid_of(alias: str) -> str:
    """Return a CM uid that belongs to `alias`."""
    return hashlib.sha256(alias.encode()).hexdigest()[:16]


@dataclass
class Recipes:
    """Writes recipes into a repository of its own."""

    folder: Path

    def add(
        self, alias: str, metadata: dict[str, Any] | None = None, *, run: str = "", hooks: str = ""
    ) -> Path:
        """Write a recipe; its tags are the words of its alias unless `metadata` says otherwise."""
        folder = self.folder / "script" / alias
        folder.mkdir(parents=True, exist_ok=True)
        described = {
            "alias": alias,
            "uid": uid_of(alias),
            "automation_alias": "script",
            "automation_uid": "5b4e0237da074764",
            "tags": alias.split("-"),
            **(metadata or {}),
        }
        (folder / "_cm.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
        if run:
            (folder / "run.sh").write_text(textwrap.dedent(run))
        if hooks:
            (folder / "customize.py").write_text(textwrap.dedent(hooks))
        return folder


@dataclass
class CM:
    """The real ``cm`` command with a CM_REPOS, a HOME and a TMPDIR of its own."""

    folder: Path
    caller: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        """Return the command line for these words."""
        return [str(Path(sys.executable).parent / "cm"), *words]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run cm to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=self.caller,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def script(self, tags: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``cm run script --tags=...``."""
        return self("run", "script", f"--tags={tags}", *words)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start cm in the background."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.caller,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    @property
    def cache(self) -> Path:
        """The folder of cache entries."""
        return self.folder / "repos" / "local" / "cache"

    @property
    def temporary(self) -> Path:
        """The TMPDIR of the runs."""
        return Path(self.environment["TMPDIR"])

    def entries(self) -> list[Path]:
        """Return the state files of the complete entries."""
        return sorted(self.cache.glob("*/cm-cached-state.json"))


@dataclass
class Library:
    """The engine called as a library, without cmind."""

    surroundings: Surroundings
    capsys: pytest.CaptureFixture[str]

    def run(self, tags: str, **given: Any) -> dict[str, Any]:
        """Run a recipe and return the result."""
        return run_script({"tags": tags, **given}, self.surroundings)

    def env(self, tags: str, **given: Any) -> dict[str, Any]:
        """Return the variables that a recipe puts out."""
        return dict(self.run(tags, **given)["new_env"])

    def decision(self, tags: str, **given: Any) -> str:
        """Return what was decided about the recipe asked for."""
        steps = self.run(tags, **given)["recipes"]
        return str([step["decision"] for step in steps if step["depth"] == 0][-1])

    def said(self) -> str:
        """Return what was printed since the last call."""
        return self.capsys.readouterr().out

    def entries(self) -> list[dict[str, Any]]:
        """Return the states of all complete entries."""
        found = self.surroundings.cache.folder.glob("*/cm-cached-state.json")
        return [json.loads(path.read_text()) for path in found]


def registered_in(folder: Path, *repositories: Path) -> Path:
    """Register repositories with a cm in `folder`, and return `folder`."""
    cm = CM(folder / "cm", folder, own_environment(folder))
    for repository in repositories:
        done = cm("init", "repo", f"--path={repository}")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def copied_cm(source: Path, folder: Path, caller: str) -> CM:
    """Return a cm of `folder` that knows what that of `source` knows, with paths in `folder`.

    cm needs a second to index all recipes anew; what it would find is the same.
    """
    shutil.copytree(source / "cm", folder / "cm")
    for name in ("index.json", "repos.json"):
        known = folder / "cm" / name
        known.write_text(known.read_text().replace(f'"{source}/', f'"{folder}/'))
    (folder / caller).mkdir()
    return CM(folder / "cm", folder / caller, own_environment(folder))


def own_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a cm that knows nothing of the host's CM."""
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CM_REPOS": str(folder / "cm"),
        "TMPDIR": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
    }
