"""A repository with strict rules, and a cm that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from recipe_books import CHECKOUT, CM, copied_cm, registered_in
from rule_books import CMR, Book

if TYPE_CHECKING:
    from pathlib import Path


def strict_repository(parent: Path) -> Path:
    folder = parent / "recipes"
    (folder / "script").mkdir(parents=True)
    (folder / "cmr.yaml").write_text(CMR)
    return folder


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a cm that knows the checkout."""
    return registered_in(tmp_path_factory.mktemp("known"), CHECKOUT)


@pytest.fixture(scope="session")
def known_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a cm that knows the checkout, and a strict repository beside it."""
    folder = tmp_path_factory.mktemp("known-both")
    return registered_in(folder, CHECKOUT, strict_repository(folder))


@pytest.fixture
def cm(tmp_path: Path, known: Path) -> CM:
    return copied_cm(known, tmp_path, "caller")


@pytest.fixture
def book(tmp_path: Path, known_both: Path) -> Book:
    return Book(strict_repository(tmp_path), copied_cm(known_both, tmp_path, "caller"))
