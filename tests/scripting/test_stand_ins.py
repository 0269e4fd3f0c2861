"""The stand-ins for sudo and its like: up to date, and in no output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cm4storage.scripting import guards
from cm4storage.scripting.guards import Guards

if TYPE_CHECKING:
    from recipe_books import CM, Recipes

WHICH = 'echo "TOOL=$(command -v {0})" > tmp-run-env.out'


def test_an_output_is_the_real_command(cm: CM, recipes: Recipes, tmp_path: Path) -> None:
    real = tmp_path / "bin" / "zypper"
    real.parent.mkdir()
    real.write_text("#!/bin/sh\n")
    real.chmod(0o755)
    cm.environment["PATH"] += f"{os.pathsep}{real.parent}"
    recipes.add("get-it", {"cache": True, "new_env_keys": ["TOOL"]}, run=WHICH.format("zypper"))
    done = cm.script("get,it", "-j")
    assert json.loads(done.stdout)["new_env"] == {"TOOL": str(real)}


def test_an_output_that_leads_nowhere_is_left_out(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", {"cache": True, "new_env_keys": ["TOOL"]}, run=WHICH.format("pkexec"))
    cm.environment["PATH"] = f"{Path(cm.command()[0]).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    if any(Path(folder, "pkexec").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("pkexec is here")
    done = cm.script("get,it", "-j")
    assert json.loads(done.stdout)["new_env"] == {}
    assert "warning: get-it: TOOL is left out" in done.stderr


@pytest.mark.parametrize("changed", ["_STAND_IN", "_COMMAND_FILE"])
def test_other_contents_are_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    command = tmp_path / "guard_command.py"
    command.write_bytes(guards._COMMAND_FILE.read_bytes())
    monkeypatch.setattr(guards, "_COMMAND_FILE", command)
    before = Guards(tmp_path, tmp_path / "refusals", allows=False).folder
    assert Guards(tmp_path, tmp_path / "refusals", allows=False).folder == before
    if changed == "_STAND_IN":
        monkeypatch.setattr(guards, "_STAND_IN", f"{guards._STAND_IN}# new\n")
    else:
        command.write_text(f"{command.read_text()}# new\n")
    assert Guards(tmp_path, tmp_path / "refusals", allows=False).folder != before
