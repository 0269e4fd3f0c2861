"""The ways to have the recipes without a checkout: the wheel, and ``cm pull repo``."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from building import Environment

pytestmark = pytest.mark.install

AUTOMATIONS = ("script", "cache")
SMALL = ("dataset.num_files_train=7", "dataset.record_length=65536", "train.computation_time=0.01")
MAIN_JOB = ("--tags=run,dlio,mlperf", f"--params={' '.join(SMALL)}", "--max_epochs=1", "--quiet")


def recipes_of(repository: Path) -> list[str]:
    """Return the folders of a repository's recipes."""
    folders = sorted(str(path.parent) for path in repository.glob("script/*/_cm.yaml"))
    assert folders != []
    return folders


def results_of(environment: Environment, folder: Path) -> list[Path]:
    """Run the main job, small, and return the summaries that it leaves in the folder."""
    folder.mkdir()
    environment.run("cm", "run", "script", *MAIN_JOB, cwd=folder)
    return list(folder.glob("results/training/unet3d/run/*/summary.json"))


def folders_found(environment: Environment) -> list[str]:
    """Return the folders that ``cm find script`` lists."""
    lines = map(str.strip, environment.run("cm", "find", "script").splitlines())
    return sorted(line for line in lines if line.startswith("/"))


@pytest.mark.parametrize("name", AUTOMATIONS)
def test_cm_finds_the_wheel_s_automations_with_no_other_command(
    installed: Environment, name: str
) -> None:
    found = installed.run("cm", "find", "automation", name).splitlines()
    assert found[-1] == f"{installed.site_packages}/cm4storage/repo/automation/{name}"


def test_cm_finds_the_wheel_s_recipes(installed: Environment) -> None:
    repository = installed.site_packages / "cm4storage" / "repo"
    assert folders_found(installed) == recipes_of(repository)


def test_the_commands_for_authors_work_from_the_wheel(installed: Environment) -> None:
    assert "no finding" in installed.run("cm", "lint", "script", "--repo=cm4storage")
    installed.run("cm", "add", "script", "get-answer")
    assert "2 passed" in installed.run("cm", "test", "script", "get-answer")
    installed.run("cm", "rm", "script", "get-answer", "-f")


def test_main_job_runs_from_the_wheel(installed: Environment, tmp_path: Path) -> None:
    assert len(results_of(installed, tmp_path / "work")) == 1


@pytest.fixture
def origin(source: Path) -> str:
    """Return the URL of a git repository whose branch ``topic`` holds the project."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=source, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("commit", "--allow-empty", "--message=Start")
    git("checkout", "-b", "topic")
    git("add", "--all")
    git("commit", "--message=The project")
    git("checkout", "main")
    return source.as_uri()


def test_cm_pull_repo_into_bare_cmind(bare: Environment, origin: str, tmp_path: Path) -> None:
    bare.run("cm", "pull", "repo", f"--url={origin}", "--branch=topic")
    [pulled] = (bare.cm_repos / "repos").glob("*source")
    for name in AUTOMATIONS:
        found = bare.run("cm", "find", "automation", name).splitlines()
        assert found == [f"{pulled}/automation/{name}"]
    assert folders_found(bare) == recipes_of(pulled)
    assert len(results_of(bare, tmp_path / "work")) == 1
