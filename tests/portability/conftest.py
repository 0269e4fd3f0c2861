"""Environments of other engines, by variables that name their Python; see ``nox -s mlcr``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from foreign_engines import Engine, copy_with_meta, new_engine


def _programs(variable: str, program: str) -> Path:
    folder = Path(os.environ.get(variable, "/nonexistent/python")).parent
    if not (folder / program).exists():
        pytest.skip(f"{variable} names no Python with {program} beside it")
    return folder


@pytest.fixture(scope="module")
def mlcflow(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return mlcflow with our repository, registered without a network."""
    programs = _programs("CM4STORAGE_MLCFLOW_PYTHON", "mlcr")
    folder = tmp_path_factory.mktemp("mlcflow")
    engine = new_engine(programs, folder)
    engine.output("mlc", "add", "repo", str(copy_with_meta(folder / "repository")))
    return engine


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return CM with the original script automation, and our repository registered after it."""
    programs = _programs("CM4STORAGE_ORACLE_PYTHON", "cm")
    folder = tmp_path_factory.mktemp("original")
    engine = new_engine(programs, folder)
    repository = copy_with_meta(folder / "repository")
    engine.output("cm", "init", "repo", f"--path={repository}")
    return engine
