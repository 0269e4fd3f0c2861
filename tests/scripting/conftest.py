"""Fixtures for recipes written by each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from recipe_books import CHECKOUT, CM, Library, Recipes, copied_cm, registered_in

from cm4storage.scripting.actions import Repository, Surroundings

if TYPE_CHECKING:
    from pathlib import Path


def no_recipes_yet(parent: Path) -> Path:
    folder = parent / "recipes"
    (folder / "script").mkdir(parents=True)
    (folder / "cmr.yaml").write_text('alias: recipes\nuid: "00000000000000aa"\n')
    return folder


@pytest.fixture
def recipes(tmp_path: Path) -> Recipes:
    return Recipes(no_recipes_yet(tmp_path))


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a cm that knows the checkout, and recipes beside it."""
    folder = tmp_path_factory.mktemp("registered")
    return registered_in(folder, CHECKOUT, no_recipes_yet(folder))


@pytest.fixture
def cm(tmp_path: Path, registered: Path, recipes: Recipes) -> CM:
    del recipes  # they are there
    return copied_cm(registered, tmp_path, "the caller's folder")


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
