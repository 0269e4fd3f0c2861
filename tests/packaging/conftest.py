"""The built packages, and environments in which they are installed without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from building import ROOT, Environment, build, make_environment
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheels of all that the project requires."""
    folder = tmp_path_factory.mktemp("wheels")
    requirements = map(Requirement, metadata.requires("cm4storage") or [])
    names = [each.name for each in requirements if "extra" not in str(each.marker)]
    program = ROOT / "tools" / "offline_wheels.py"
    subprocess.run([sys.executable, program, folder, *names], check=True)
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path, wheels: Path) -> Environment:
    """Return an environment in which the wheel was installed, and nothing else was done."""
    return make_environment(tmp_path_factory.mktemp("installed"), wheels, wheel)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """Return an environment with cmind alone."""
    return make_environment(tmp_path_factory.mktemp("bare"), wheels, "cmind")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of what the project is made of, as a clone would have it."""
    target = tmp_path / "source"
    names = ("automation", "script", "src", "tools", "tests/packaging")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in names:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in (
        ".gitignore",
        "cmr.yaml",
        "meta.yaml",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "bootstrap",
    ):
        shutil.copy2(ROOT / name, target / name)
    return target
