"""cm bootstrap cm4storage shows each step, does it, and changes nothing else."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from nodes import LOOPBACK_ONLY, can_cut_the_network, copy_repository, new_node

if TYPE_CHECKING:
    from pathlib import Path

    from nodes import Node


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    command = ["git", *identity, "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Return a repository with two commits on the branch topic, of which the second is newer."""
    folder = copy_repository(tmp_path / "origin")
    git(folder, "init", "--initial-branch=topic")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--message=First")
    (folder / "second").touch()
    git(folder, "add", "--all")
    git(folder, "commit", "--message=Second")
    return folder


@pytest.fixture
def cloned(tmp_path: Path, origin: Path) -> tuple[Node, Path]:
    """Return a node, and the clone that is registered on it, at the first commit."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True)
    git(clone, "checkout", "--quiet", "-B", "main", "HEAD~1")
    node = new_node(tmp_path / "node")
    node.register(clone)
    return node, clone


def test_extras_that_do_not_exist_are_refused(node: Node) -> None:
    done = node.cm("bootstrap", "cm4storage", "--extras=s3,tape,mpi")
    assert done.returncode == 1
    assert "this version has no extra 'tape', 'mpi'" in done.stderr
    assert "it has: azure, s3" in done.stderr
    assert not list(node.folder.glob("cm/repos/local/cache/*"))


def test_fake_run_shows_the_commands_and_does_nothing(cloned: tuple[Node, Path]) -> None:
    node, clone = cloned
    before = git(clone, "rev-parse", "HEAD")
    words = ("--branch=topic", "--extras=s3", "--fake_run")
    done = node.cm("bootstrap", "cm4storage", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"$ git -C {clone} merge --ff-only refs/remotes/origin/topic" in done.stdout
    assert "run cm4storage:script --tags=get,cm4storage,python,_s3 --quiet" in done.stdout
    assert "nothing was done" in done.stdout
    assert git(clone, "rev-parse", "HEAD") == before
    assert not list(node.folder.glob("cm/repos/local/cache/*"))
    listed = json.loads(node.cm("bootstrap", "cm4storage", *words, "-j").stdout)
    assert listed["is_dry"]
    assert listed["steps"][0]["command"][0] == "git"


def test_branch_is_brought_to_the_newest_and_the_node_made_ready(
    cloned: tuple[Node, Path], origin: Path
) -> None:
    node, clone = cloned
    done = node.cm("bootstrap", "cm4storage", "--branch=topic")
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(clone, "rev-parse", "HEAD") == git(origin, "rev-parse", "topic")
    assert git(clone, "branch", "--show-current") == "topic"
    assert "storage file://" in done.stderr + done.stdout
    assert "this node is ready" in done.stdout


def test_checkout_pins_a_commit(cloned: tuple[Node, Path], origin: Path) -> None:
    node, clone = cloned
    second = git(origin, "rev-parse", "topic")
    done = node.cm("bootstrap", "cm4storage", f"--checkout={second}", "--fake_run")
    assert "fetch" not in done.stdout  # the clone has that commit
    done = node.cm("bootstrap", "cm4storage", f"--checkout={second}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(clone, "rev-parse", "HEAD") == second
    assert git(clone, "branch", "--show-current") == ""


def test_uncommitted_changes_are_never_moved(cloned: tuple[Node, Path]) -> None:
    node, clone = cloned
    (clone / "cmr.yaml").write_text((clone / "cmr.yaml").read_text() + "# mine\n")
    done = node.cm("bootstrap", "cm4storage", "--branch=topic")
    assert done.returncode == 1
    assert "the checkout holds uncommitted changes" in done.stderr
    assert "M cmr.yaml" in done.stderr
    assert git(clone, "branch", "--show-current") == "main"


def test_a_commit_that_nobody_has(cloned: tuple[Node, Path]) -> None:
    node, clone = cloned
    done = node.cm("bootstrap", "cm4storage", "--checkout=v9.9.9")
    assert done.returncode == 1
    assert "a step failed: pin v9.9.9" in done.stderr
    assert git(clone, "branch", "--show-current") == "main"


def test_a_name_is_never_an_option_of_git(cloned: tuple[Node, Path]) -> None:
    done = cloned[0].cm("bootstrap", "cm4storage", "--branch=--force")
    assert done.returncode == 2
    assert "--branch=--force is no name of a branch" in done.stderr


def test_what_is_no_checkout_cannot_be_pinned(tmp_path: Path) -> None:
    node = new_node(tmp_path / "node")
    node.register(copy_repository(tmp_path / "copy"))
    done = node.cm("bootstrap", "cm4storage", "--checkout=v1")
    assert done.returncode == 1
    assert "no git checkout" in done.stderr
    assert "pip install cm4storage==VERSION" in done.stderr


def test_a_mistyped_option_does_not_start_anything(node: Node) -> None:
    done = node.cm("bootstrap", "cm4storage", "--fakerun")
    assert done.returncode == 2
    assert "has no option --fakerun" in done.stderr
    assert not list(node.folder.glob("cm/repos/local/cache/*"))


@pytest.mark.install
@pytest.mark.skipif(not can_cut_the_network(), reason="the network cannot be cut off here")
def test_embedded_server_works_with_the_network_cut_off(node: Node) -> None:
    done = node.cm("bootstrap", "cm4storage", "--extras=s3")
    assert done.returncode == 0, done.stdout + done.stderr
    done = node.cm("run", "script", "--tags=setup,storage,backend,_s3", before=LOOPBACK_ONLY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(embedded server) works" in done.stdout + done.stderr
    assert "hit: " in done.stdout
