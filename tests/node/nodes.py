"""A node: the real cm with a CM_REPOS, a HOME and a TMPDIR of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
CM = str(Path(sys.executable).parent / "cm")
PARTS = ("automation", "script", "src")
LOOPBACK_ONLY = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "alone")
"""What stands before a command that is to have no network but the loopback interface."""


@dataclass(frozen=True)
class Node:
    """A folder in which cm works."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CM_REPOS": str(self.folder / "cm"),
            "TMPDIR": str(self.folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def cm(
        self, *words: str, before: tuple[str, ...] = (), **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run cm, behind a command such as ``unshare`` where one is given."""
        return subprocess.run(
            [*before, CM, *words],
            cwd=self.folder,
            env=self.environment | extra,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def register(self, repository: Path) -> None:
        """Let cm know a repository."""
        done = self.cm("init", "repo", f"--path={repository}")
        assert done.returncode == 0, done.stdout + done.stderr

    def checks(self, **extra: str) -> dict[str, dict[str, Any]]:
        """Return what ``cm doctor cm4storage -j`` finds, by name."""
        found = json.loads(self.cm("doctor", "cm4storage", "-j", **extra).stdout)["checks"]
        return {check["name"]: check for check in found}


def can_cut_the_network() -> bool:
    """Tell whether commands can be run without a network here."""
    try:
        done = subprocess.run([*LOOPBACK_ONLY, "true"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def new_node(folder: Path) -> Node:
    """Return a node that knows no repository yet."""
    (folder / "tmp").mkdir(parents=True)
    return Node(folder)


def copy_repository(target: Path) -> Path:
    """Return a copy of this repository."""
    for name in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, target / name, ignore=ignored)
    shutil.copy2(CHECKOUT / "cmr.yaml", target)
    return target


def write_rival(folder: Path) -> Path:
    """Write a repository with a ``script`` automation, as the original one's has."""
    automation = folder / "automation" / "script"
    automation.mkdir(parents=True)
    (folder / "cmr.yaml").write_text('alias: rival\nuid: "00000000000000bb"\n')
    (automation / "_cm.yaml").write_text(
        'alias: script\nuid: "5b4e0237da074764"\nautomation_alias: automation\n'
        'automation_uid: "bbeb15d8f0a944a4"\n'
    )
    (automation / "module.py").write_text(
        "from cmind.automation import Automation\n\n\n"
        "class CAutomation(Automation):\n"
        "    def __init__(self, cmind, automation_file):\n"
        "        super().__init__(cmind, __file__)\n"
    )
    return folder
