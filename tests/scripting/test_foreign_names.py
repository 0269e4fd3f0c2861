"""Names that are not UTF-8 are names like others."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from recipe_books import CM, Recipes

NAME = os.fsdecode(b"caf\xe9")
PREFIX = """
    def preprocess(i):
        i["state"]["script_prefix"] = ["export FROM=prefix"]
"""


def foreign(parent: Path) -> Path:
    """Return a new folder, or skip where there can be none."""
    folder = parent / NAME
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    return folder


def test_a_record_is_written_there(cm: CM, recipes: Recipes) -> None:
    cm.caller = foreign(cm.caller)
    recipes.add("run-it", run='touch "$CM_TMP_CURRENT_PATH/done"')
    done = cm.script("run,it", "--repro")
    assert done.returncode == 0, done.stdout + done.stderr
    (script,) = cm.caller.glob("cm-repro/*/command.sh")
    (cm.caller / "done").unlink()
    environment = {**cm.environment, "PATH": f"{Path(cm.command()[0]).parent}:/usr/bin:/bin"}
    subprocess.run(["sh", script], env=environment, check=True, capture_output=True)
    assert (cm.caller / "done").exists()


@pytest.mark.parametrize("hooks", ["", PREFIX])
def test_cm_itself_can_be_there(cm: CM, recipes: Recipes, hooks: str) -> None:
    place = foreign(cm.caller) / "cm"
    shutil.move(cm.folder, place)
    cm.environment["CM_REPOS"] = str(place)
    (place / "index.json").unlink(missing_ok=True)
    recipes.add("run-it", run='echo "from $FROM"\nsudo make install', hooks=hooks)
    done = cm.script("run,it")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "run-it: needs sudo" in done.stderr
    assert ("from prefix" in done.stdout) == bool(hooks)


def test_a_recipe_with_a_prefix_can_be_there(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run='echo "from $FROM"', hooks=PREFIX)
    place = foreign(cm.caller) / "recipes"
    shutil.move(recipes.folder, place)
    recipes.folder.symlink_to(place)  # cmind cannot register such a name itself
    done = cm.script("run,it")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from prefix" in done.stdout
