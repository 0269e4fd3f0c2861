"""Runs the features and the real recipes under both engines, once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from engines import CHECKOUT, ORACLE_VARIABLE, Engine, Result, oracle_python
from features_choice import CHOICE
from features_flow import FLOW
from real_recipes import REAL

FEATURES = (*CHOICE, *FLOW)

_ran: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _ran:
        terminalreporter.section("recipes run by both engines")
        for line in _ran:
            terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"{ORACLE_VARIABLE} names no Python with cmx4mlops")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.oracle)
            item.add_marker(pytest.mark.timeout(1200))  # the first test of a kind runs all calls
            if not oracle_python():
                item.add_marker(missing)


@pytest.fixture(scope="session")
def original_repository() -> Path:
    """Return the folder of cmx4mlops's repository."""
    command = [oracle_python(), "-c", "import cmx4mlops; print(cmx4mlops.__path__[0])"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory, original_repository: Path) -> list[Engine]:
    """Return this engine and the original, both with the recipes of the features."""
    folder = tmp_path_factory.mktemp("oracle")
    recipes = folder / "recipes"
    (recipes / "script").mkdir(parents=True)
    (recipes / "cmr.yaml").write_text('alias: features\nuid: "00000000000000ab"\n')
    for feature in FEATURES:
        for alias, recipe in feature.recipes.items():
            recipe.write(recipes, alias)
    ours = Engine("ours", sys.executable, folder / "ours", "script")
    original = Engine("original", oracle_python(), folder / "original", "script")
    for folder_of_repository in (CHECKOUT, original_repository, recipes):
        ours.register(folder_of_repository)
    original.register(recipes)
    return [ours, original]


@pytest.fixture(scope="session")
def results(engines: list[Engine]) -> dict[str, list[tuple[Result, Result]]]:
    """Return for each feature what the engines made of its steps: ours first."""
    steps = [step for feature in FEATURES for step in feature.steps]
    pairs = iter(list(zip(*(engine.run(steps) for engine in engines), strict=True)))
    for feature in FEATURES:
        _ran.append(f"{', '.join(feature.recipes)}: {len(feature.steps)} calls ({feature.name})")
    return {feature.name: [next(pairs) for _ in feature.steps] for feature in FEATURES}


@pytest.fixture(scope="session")
def real_results(engines: list[Engine]) -> dict[str, tuple[Result, Result]]:
    """Return what the engines made of the recipes that cmx4mlops carries: ours first."""
    steps = [real.step for real in REAL]
    pairs = zip(*(engine.run(steps) for engine in engines), strict=True)
    found = dict(zip((real.name for real in REAL), pairs, strict=True))
    for name, (ours, original) in found.items():
        _ran.append(f"{name}: exit code {ours.status} (the original: {original.status})")
    return found
