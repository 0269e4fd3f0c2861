"""The steps of cm bootstrap depend on nothing that lies about."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UserError
from cm4storage.node import bootstrap, pinning
from cm4storage.scripting.actions import Surroundings

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_imported_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('taken from the current folder')\n")
    step = pinning.Step("import", bootstrap._cm("find", "repo"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CM_REPOS", "repos")
    monkeypatch.setattr(bootstrap, "_steps", lambda *_: [step])
    monkeypatch.setattr(bootstrap, "_refuse_unknown_extras", lambda *_: None)
    monkeypatch.setattr(bootstrap.Requirements, "read", lambda _: None)
    done = bootstrap.set_up({}, Surroundings([], "", str(tmp_path)), tmp_path)
    assert not done["is_dry"]
    assert (tmp_path / "repos").is_dir()


def test_a_git_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()

    def run(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, 60)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match="git does not answer"):
        list(pinning.pinning_steps(tmp_path, "main", ""))
