"""Fixtures for recipes written by each test."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from recipe_books import CHECKOUT, CM, Library, Recipes, own_environment

from cm4storage.scripting.actions import Repository, Surroundings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def recipes(tmp_path: Path) -> Recipes:
    folder = tmp_path / "recipes"
    (folder / "script").mkdir(parents=True)
    (folder / "cmr.yaml").write_text('alias: recipes\nuid: "00000000000000aa"\n')
    return Recipes(folder)


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CM_REPOS in which the checkout is registered."""
    folder = tmp_path_factory.mktemp("registered")
    cm = CM(folder / "cm", folder, own_environment(folder))
    assert cm("init", "repo", f"--path={CHECKOUT}").returncode == 0
    return cm.folder


@pytest.fixture
def cm(tmp_path: Path, registered: Path, recipes: Recipes) -> CM:
    shutil.copytree(registered, tmp_path / "cm")
    caller = tmp_path / "the caller's folder"
    caller.mkdir()
    cm = CM(tmp_path / "cm", caller, own_environment(tmp_path))
    # The local repository has moved with the copy; only the index knows where it was.
    (cm.folder / "index.json").unlink()
    done = cm("init", "repo", f"--path={recipes.folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return cm


@pytest.fixture
def library(
    tmp_path: Path,
    recipes: Recipes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Library:
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for name in ("GH_TOKEN", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    repositories = [Repository("recipes", recipes.folder)]
    return Library(Surroundings(repositories, "recipes", tmp_path / "local"), capsys)
