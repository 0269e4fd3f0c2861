"""cm doctor cm4storage finds what is wrong, and says how to mend it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nodes import CHECKOUT, can_cut_the_network, new_node, write_rival

if TYPE_CHECKING:
    from nodes import Node

SHARED_MEMORY = Path("/dev/shm")


def test_a_machine_on_which_all_is_well(node: Node) -> None:
    done = node.cm("doctor", "cm4storage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CHECKOUT}/automation/script" in done.stdout
    assert f"at {Path(sys.executable).parent}" in done.stdout
    assert "0 problems" in done.stdout


def test_json_names_every_check(node: Node) -> None:
    checks = node.checks()
    assert set(checks) >= {
        *("interpreter", "venv module", "bash", "loopback ports", "open files", "memory"),
        *("clock source", "repository", "automation script", "automation cache", "versions"),
        *("packages", "extra s3", "embedded server", "CM_REPOS", "CM_REPOS: space", "TMPDIR"),
        *("CM_REPOS: file system", "CM_REPOS: locks", "CM_REPOS: O_DIRECT", "TMPDIR: locks"),
    }
    for check in checks.values():
        assert check["status"] in ("ok", "warning", "problem")
        assert bool(check["advice"]) == bool(check["meaning"]) == (check["status"] != "ok")


def test_another_automation_that_wins_is_a_problem(tmp_path: Path) -> None:
    node = new_node(tmp_path / "node")
    rival = write_rival(tmp_path / "rival")
    node.register(rival)
    node.register(CHECKOUT)
    done = node.cm("doctor", "cm4storage")
    assert done.returncode == 1
    assert f"cm runs {rival}/automation/script, not {CHECKOUT}/automation/script" in done.stdout
    assert "cm run cm4storage:script --tags=" in done.stdout
    assert "something will not work: automation script" in done.stderr
    assert node.checks()["automation cache"]["status"] == "ok"


def test_another_automation_that_loses_is_a_warning(node: Node, tmp_path: Path) -> None:
    rival = write_rival(tmp_path / "rival")
    node.register(rival)
    check = node.checks()["automation script"]
    assert check["status"] == "warning"
    assert str(rival / "automation" / "script") in check["found"]


def test_no_bash(node: Node, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = node.cm("doctor", "cm4storage", PATH=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "problem  bash" in done.stdout
    assert "apt install bash" in done.stdout


def test_few_open_files(node: Node) -> None:
    limited = ("bash", "-c", 'ulimit -n 256; exec "$@"', "limited")
    done = node.cm("doctor", "cm4storage", before=limited)
    assert done.returncode == 0
    assert "warning  open files" in done.stdout
    assert "256 at most" in done.stdout
    assert "to do: raise it before the run: ulimit -n " in done.stdout


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="no file system in memory is mounted")
def test_a_folder_in_memory(node: Node) -> None:
    check = node.checks(TMPDIR=str(SHARED_MEMORY))["TMPDIR: file system"]
    assert (check["found"], check["status"]) == ("tmpfs", "warning")
    assert "it lies in memory" in check["meaning"]


@pytest.mark.skipif(not can_cut_the_network(), reason="the network cannot be cut off here")
def test_no_loopback_interface(node: Node) -> None:
    done = node.cm("doctor", "cm4storage", before=("unshare", "-n"))
    assert done.returncode == 1
    assert "problem  loopback ports" in done.stdout
    assert "ip link set lo up" in done.stdout


def test_an_unknown_option_is_refused(node: Node) -> None:
    done = node.cm("doctor", "cm4storage", "--fix")
    assert done.returncode == 2
    assert "has no option --fix" in done.stderr


def test_help(node: Node) -> None:
    for action in ("doctor", "bootstrap"):
        assert f"cm {action} cm4storage" in node.cm(action, "cm4storage", "--help").stdout
