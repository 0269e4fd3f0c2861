"""Copies of this checkout, set up or not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from checkouts import (
    FIND,
    INTERPRETER,
    ODD_NAME,
    ROOT,
    Checkout,
    Machine,
    copy_checkout,
    make_programs,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a machine with one Python, whose pip finds all that the copies need in a folder."""
    folder = tmp_path_factory.mktemp("machine")
    program = ROOT / "tools" / "offline_wheels.py"
    wheels = folder / "wheels"
    subprocess.run([sys.executable, program, wheels, "cmind", "editables", "hatchling"], check=True)
    return Machine(make_programs(folder / "bin", python3=INTERPRETER), wheels)


@pytest.fixture
def fresh(machine: Machine, tmp_path: Path) -> Checkout:
    """Return a copy on which bootstrap has not been called yet."""
    path = tmp_path / "fresh"
    copy_checkout(path)
    return Checkout(path, machine)


@pytest.fixture(scope="session")
def hostile_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return variables that would each lead a careless set-up astray."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "json.py").write_text("raise RuntimeError('taken from PYTHONPATH')\n")
    return {
        "PIP_USER": "1",
        "PIP_TARGET": str(folder / "target"),
        "PIP_PREFIX": str(folder / "prefix"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONPATH": str(folder),
        "PYTHONHOME": str(folder / "nowhere"),
        "PYTHONWARNINGS": "error",
        "CM_INDEX": "off",
        "CDPATH": str(folder),
    }


@pytest.fixture(scope="session")
def first_call(
    machine: Machine,
    tmp_path_factory: pytest.TempPathFactory,
    hostile_settings: dict[str, str],
) -> tuple[Checkout, subprocess.CompletedProcess[str]]:
    """Return a copy in an awkward place, and the first call on it, with hostile settings."""
    checkout = Checkout(tmp_path_factory.mktemp("place") / ODD_NAME / "clone", machine)
    copy_checkout(checkout.path)
    return checkout, checkout.call(*FIND, cwd=checkout.path, **hostile_settings)


@pytest.fixture
def ready(first_call: tuple[Checkout, subprocess.CompletedProcess[str]]) -> Checkout:
    """Return a copy that is set up. Tests leave it as they find it."""
    return first_call[0]
