"""Fresh copies of the checkout whose environments are made without a network.

The copies are this checkout with a shorter list of dependencies: what `bootstrap` does is the same,
and quick. `.ci/run` is the test with the full list.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = (
    *("automation", "script", "src", "tools", "bootstrap"),
    *("cmr.yaml", "meta.yaml", "README.md", "LICENSE"),
)
INTERPRETER = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
TOOLS = ("cat", "dirname", "echo", "env", "git", "readlink", "rm", "sh", "true")
FIND = ("cm", "find", "automation", "script")
ODD_NAME = 'it\'s a "quoted" $HOME ünï'


@dataclass(frozen=True)
class Machine:
    """What a checkout finds around it: programs, packages and the environment variables."""

    programs: Path
    wheels: Path

    def environment(self, **extra: str) -> dict[str, str]:
        """Return a bare environment, without HOME, in which pip reaches no network."""
        return {
            "PATH": str(self.programs),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            **extra,
        }


@dataclass(frozen=True)
class Checkout:
    """A copy of this checkout, and the machine on which it is used."""

    path: Path
    machine: Machine

    def call(
        self, *command: str | Path, cwd: Path | None = None, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``bootstrap`` with a command and return how it went."""
        return subprocess.run(
            [self.path / "bootstrap", *command],
            cwd=cwd or self.path,
            env=self.machine.environment(**extra),
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *command: str, **extra: str) -> subprocess.Popen[str]:
        """Start ``bootstrap`` with a command."""
        return subprocess.Popen(
            [self.path / "bootstrap", *command],
            cwd=self.path,
            env=self.machine.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def registered(self, cm_repos: Path | None = None) -> list[str]:
        """Return cm's list of repositories."""
        file = (cm_repos or self.path / ".cm") / "repos.json"
        entries: list[str] = json.loads(file.read_text())
        return entries

    @property
    def automation(self) -> str:
        """The folder of the automation that must run."""
        return str(self.path / "automation" / "script")


def copy_checkout(target: Path) -> None:
    """Copy this checkout, as a clone would have it, with few dependencies."""
    target.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / part, ignore=ignored)
        else:
            shutil.copy2(source, target / part)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = _with_list(text, "dependencies", '"cmind>=4.2", "PyYAML>=6.0"')
    text = _with_list(text, "test", '"editables", "hatchling>=1.25"')
    (target / "pyproject.toml").write_text(text, encoding="utf-8")


def _with_list(toml: str, key: str, items: str) -> str:
    changed, count = re.subn(
        rf"^{key} = \[\n.*?^\]$", f"{key} = [{items}]", toml, flags=re.M | re.S
    )
    assert count == 1
    return changed


def make_programs(folder: Path, **interpreters: Path) -> Path:
    """Make a folder for PATH with the few programs that bootstrap may expect, and interpreters."""
    folder.mkdir(parents=True)
    for name in TOOLS:
        found = shutil.which(name)
        if found is not None:
            (folder / name).symlink_to(found)
    for name, target in interpreters.items():
        (folder / name).symlink_to(target)
    return folder
