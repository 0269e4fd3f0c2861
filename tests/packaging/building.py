"""Build the packages, and use environments in which they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which a user works, with a ``CM_REPOS`` of its own."""

    path: Path
    wheels: Path
    cm_repos: Path

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run a command with the environment's programs; return its standard output."""
        call = subprocess.run(
            list(map(str, command)),
            cwd=cwd or self.path,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert call.returncode == 0, call.stdout + call.stderr
        return call.stdout

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": f"{self.path / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.path),
            "CM_REPOS": str(self.cm_repos),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    @property
    def site_packages(self) -> Path:
        """The folder into which pip installs."""
        [found] = self.path.glob("lib/python3*/site-packages")
        return found


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a ``wheel`` or an ``sdist`` with the build backend; return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    environment = os.environ | {"PYTHONWARNINGS": ""}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
    [built] = target.iterdir()
    return built


def make_environment(folder: Path, wheels: Path, *requirements: str | Path) -> Environment:
    environment = Environment(folder / "venv", wheels, folder / "cm")
    subprocess.run([sys.executable, "-m", "venv", environment.path], check=True)
    environment.run("pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    return environment
