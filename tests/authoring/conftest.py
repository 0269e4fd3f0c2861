"""A repository with strict rules, and a cm that knows it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from recipe_books import CHECKOUT, CM, own_environment
from rule_books import CMR, Book

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CM_REPOS in which the checkout is registered."""
    folder = tmp_path_factory.mktemp("known")
    cm = CM(folder / "cm", folder, own_environment(folder))
    assert cm("init", "repo", f"--path={CHECKOUT}").returncode == 0
    return cm.folder


@pytest.fixture
def cm(tmp_path: Path, known: Path) -> CM:
    shutil.copytree(known, tmp_path / "cm")
    caller = tmp_path / "caller"
    caller.mkdir()
    cm = CM(tmp_path / "cm", caller, own_environment(tmp_path))
    # The local repository has moved with the copy; only the index knows where it was.
    (cm.folder / "index.json").unlink()
    assert cm("reindex", "repo").returncode == 0
    return cm


@pytest.fixture
def book(tmp_path: Path, cm: CM) -> Book:
    folder = tmp_path / "recipes"
    (folder / "script").mkdir(parents=True)
    (folder / "cmr.yaml").write_text(CMR)
    done = cm("init", "repo", f"--path={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return Book(folder, cm)
