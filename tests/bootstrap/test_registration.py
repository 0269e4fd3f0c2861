"""`bootstrap` makes sure, by path, that this checkout's automations are the ones that run."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from checkouts import FIND, Checkout, copy_checkout

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """from cmind.automation import Automation


class CAutomation(Automation):
    pass
"""


def make_rival(folder: Path) -> Path:
    """Make a repository that brings the `script` automation under the same identifier."""
    automation = folder / "automation" / "script"
    automation.mkdir(parents=True)
    (folder / "cmr.yaml").write_text('alias: rival\nuid: "0123456789abcdef"\nprefix: ""\n')
    (automation / "module.py").write_text(MODULE)
    (automation / "_cm.yaml").write_text(
        "alias: script\n"
        'uid: "5b4e0237da074764"\n'
        "automation_alias: automation\n"
        'automation_uid: "bbeb15d8f0a944a4"\n'
    )
    return folder


def register(checkout: Checkout, repository: Path, cm_repos: Path) -> None:
    """Register a repository with cm's own command."""
    cm = checkout.path / ".venv" / "bin" / "cm"
    call = checkout.call(
        "env", f"CM_REPOS={cm_repos}", str(cm), "init", "repo", f"--path={repository}"
    )
    assert call.returncode == 0, call.stdout + call.stderr


def follow_advice(checkout: Checkout, error: str, cm_repos: Path) -> None:
    """Run the command that an error gives."""
    command = error.rpartition("take the other one out: ")[2].strip()
    call = checkout.call("env", f"CM_REPOS={cm_repos}", "sh", "-c", command)
    assert call.returncode == 0, call.stdout + call.stderr


@pytest.mark.install
@pytest.mark.parametrize("parent", ["", "deep/er"])
def test_cm_repos_of_the_caller_is_made_and_used(
    ready: Checkout, tmp_path: Path, parent: str
) -> None:
    cm_repos = tmp_path / parent / "not there yet"
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert call.stdout.splitlines() == [ready.automation], call.stderr
    assert f"registering the checkout with cm in {cm_repos}" in call.stderr
    assert ready.registered(cm_repos) == [str(ready.path)]
    assert ready.call(*FIND, CM_REPOS=str(cm_repos)).stderr == ""


def test_relative_cm_repos_is_the_caller_s(ready: Checkout, tmp_path: Path) -> None:
    call = ready.call("sh", "-c", 'echo "$CM_REPOS"', cwd=tmp_path, CM_REPOS="mine")
    assert call.stdout.strip() == str(tmp_path / "mine")
    assert ready.registered(tmp_path / "mine") == [str(ready.path)]


def test_other_repositories_stay_registered(ready: Checkout, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "cmr.yaml").write_text('alias: other\nuid: "00000000deadbeef"\n')
    cm_repos = tmp_path / "cm"
    register(ready, other, cm_repos)
    assert ready.call("true", CM_REPOS=str(cm_repos)).returncode == 0
    assert ready.registered(cm_repos) == [str(other), str(ready.path)]


def test_many_first_calls_in_one_new_cm_repos(ready: Checkout, tmp_path: Path) -> None:
    processes = [ready.start(*FIND, CM_REPOS=str(tmp_path / "cm")) for _ in range(20)]
    outcomes = [(*process.communicate(), process.returncode) for process in processes]
    assert {code for _, _, code in outcomes} == {0}, outcomes
    assert {out for out, _, _ in outcomes} == {f"{ready.automation}\n"}


def test_vanished_repository_is_dropped_before_cm_stumbles(ready: Checkout, tmp_path: Path) -> None:
    cm_repos = tmp_path / "cm"
    gone = make_rival(tmp_path / "gone")
    assert ready.call("true", CM_REPOS=str(cm_repos)).returncode == 0
    register(ready, gone, cm_repos)
    shutil.rmtree(gone)
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert call.stdout.splitlines() == [ready.automation], call.stderr
    assert ready.registered(cm_repos) == [str(ready.path)]


@pytest.mark.parametrize("file", ["index.json", "repos.json"])
def test_lost_file_of_cm_is_made_anew(ready: Checkout, tmp_path: Path, file: str) -> None:
    cm_repos = tmp_path / "cm"
    assert ready.call("true", CM_REPOS=str(cm_repos)).returncode == 0
    (cm_repos / file).unlink()
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert call.stdout.splitlines() == [ready.automation], call.stderr


def test_half_written_index_is_made_anew(ready: Checkout, tmp_path: Path) -> None:
    cm_repos = tmp_path / "cm"
    assert ready.call("true", CM_REPOS=str(cm_repos)).returncode == 0
    index = cm_repos / "index.json"
    index.write_text(index.read_text()[:100])
    assert ready.call(*FIND, CM_REPOS=str(cm_repos)).stdout.splitlines() == [ready.automation]
    json.loads(index.read_text())


def test_damaged_list_is_an_error_and_is_kept(ready: Checkout, tmp_path: Path) -> None:
    (tmp_path / "repos.json").write_text('["/some/where",')
    call = ready.call("true", CM_REPOS=str(tmp_path))
    assert call.returncode == 1
    assert "error: cm's list of repositories is damaged" in call.stderr
    assert str(tmp_path / "repos.json") in call.stderr
    assert (tmp_path / "repos.json").read_text() == '["/some/where",'


def test_rival_registered_first_is_named(ready: Checkout, tmp_path: Path) -> None:
    rival = make_rival(tmp_path / "rival")
    cm_repos = tmp_path / "cm"
    register(ready, rival, cm_repos)
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert (call.returncode, call.stdout) == (1, "")
    assert "error: cm would not run this checkout's 'script' automation" in call.stderr
    assert f"  runs: {rival}/automation/script\n" in call.stderr
    assert f"  not this: {ready.automation}\n" in call.stderr
    assert "  to do: unset CM_REPOS" in call.stderr
    assert "cm run cm4storage:script --tags=" in call.stderr
    assert ready.registered(cm_repos) == [str(rival)]
    follow_advice(ready, call.stderr, cm_repos)
    after = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert after.stdout.splitlines() == [ready.automation], after.stderr


def test_a_command_that_names_ours_runs_beside_a_rival(ready: Checkout, tmp_path: Path) -> None:
    rival = make_rival(tmp_path / "rival")
    cm_repos = tmp_path / "cm"
    register(ready, rival, cm_repos)
    named = ("cm", "find", "cm4storage:script", "--tags=run,dlio,mlperf")
    call = ready.call(*named, CM_REPOS=str(cm_repos))
    assert call.returncode == 0, call.stderr
    assert "run-dlio-mlperf" in call.stdout
    doctor = ready.call("cm", "doctor", "cm4storage", CM_REPOS=str(cm_repos))
    assert str(rival) in doctor.stdout
    registered = ready.registered(cm_repos)
    assert registered == [str(rival), str(ready.path)]
    assert ready.call(*FIND, CM_REPOS=str(cm_repos)).returncode == 1
    assert ready.registered(cm_repos) == registered


def test_rival_registered_later_does_not_matter(ready: Checkout, tmp_path: Path) -> None:
    cm_repos = tmp_path / "cm"
    assert ready.call("true", CM_REPOS=str(cm_repos)).returncode == 0
    register(ready, make_rival(tmp_path / "rival"), cm_repos)
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert call.stdout.splitlines() == [ready.automation], call.stderr


def test_rival_in_cm_s_local_repository_is_named(ready: Checkout, tmp_path: Path) -> None:
    # cm's scratch repository comes before all others.
    cm_repos = tmp_path / "cm"
    make_rival(cm_repos / "repos" / "local")
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert call.returncode == 1
    assert f"  runs: {cm_repos}/repos/local/automation/script\n" in call.stderr
    follow_advice(ready, call.stderr, cm_repos)
    after = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert after.stdout.splitlines() == [ready.automation], after.stderr


def test_rival_installed_as_a_package_is_named(ready: Checkout, tmp_path: Path) -> None:
    # As PyPI's cmx4mlops is: a package whose name starts with cm, found with no registration.
    [site_packages] = (ready.path / ".venv").glob("lib/python3*/site-packages")
    rival = make_rival(site_packages / "cmrival" / "repo")
    (rival.parent / "__init__.py").touch()
    try:
        call = ready.call(*FIND, CM_REPOS=str(tmp_path / "cm"))
    finally:
        shutil.rmtree(rival.parent)
    assert call.returncode == 1
    assert f"  runs: {rival}/automation/script\n" in call.stderr
    assert "-m pip uninstall cmrival" in call.stderr
    after = ready.call(*FIND, CM_REPOS=str(tmp_path / "cm"))
    assert after.stdout.splitlines() == [ready.automation], after.stderr


def test_second_clone_in_the_same_cm_repos_is_named(ready: Checkout, tmp_path: Path) -> None:
    first = tmp_path / "first clone"
    copy_checkout(first)
    cm_repos = tmp_path / "cm"
    register(ready, first, cm_repos)
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert (call.returncode, call.stdout) == (1, "")
    assert "another copy of this repository is registered with cm" in call.stderr
    assert f"  runs: {first}\n" in call.stderr
    assert f"  not this: {ready.path}\n" in call.stderr
    assert ready.registered(cm_repos) == [str(first)]
    follow_advice(ready, call.stderr, cm_repos)
    assert ready.call(*FIND, CM_REPOS=str(cm_repos)).stdout.splitlines() == [ready.automation]


def test_second_clone_takes_over_when_the_first_is_gone(ready: Checkout, tmp_path: Path) -> None:
    first = tmp_path / "first clone"
    copy_checkout(first)
    cm_repos = tmp_path / "cm"
    register(ready, first, cm_repos)
    shutil.rmtree(first)
    call = ready.call(*FIND, CM_REPOS=str(cm_repos))
    assert call.stdout.splitlines() == [ready.automation], call.stderr


def test_checkout_without_its_automation_is_named(ready: Checkout, tmp_path: Path) -> None:
    hidden = (ready.path / "automation").rename(tmp_path / "automation")
    try:
        call = ready.call("true", CM_REPOS=str(tmp_path / "cm"))
    finally:
        hidden.rename(ready.path / "automation")
    assert call.returncode == 1
    assert "error: cm does not find this checkout's 'script' automation" in call.stderr
