"""The automations run the library beside them, never another installed copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from recipe_books import CHECKOUT, CM, Recipes, own_environment

if TYPE_CHECKING:
    from pathlib import Path

MARK = 'USAGE = "the library beside this automation" + """\\\n'


def copied(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


def marked_library(target: Path) -> None:
    copied(CHECKOUT / "src" / "cm4storage", target)
    path = target / "scripting" / "help.py"
    text = path.read_text()
    assert 'USAGE = """\\\n' in text
    path.write_text(text.replace('USAGE = """\\\n', MARK))


def shown_usage(tmp_path: Path, repository: Path) -> str:
    cm = CM(tmp_path / "cm", tmp_path, own_environment(tmp_path))
    assert cm("init", "repo", f"--path={repository}").returncode == 0
    return cm("run", "script", "--help").stdout


def test_in_a_checkout_it_is_src(tmp_path: Path) -> None:
    repository = tmp_path / "a checkout"
    for name in ("automation", "script"):
        copied(CHECKOUT / name, repository / name)
    shutil.copy(CHECKOUT / "cmr.yaml", repository)
    marked_library(repository / "src" / "cm4storage")
    assert "the library beside this automation" in shown_usage(tmp_path, repository)


def test_in_a_wheel_it_is_the_package_that_holds_the_repository(tmp_path: Path) -> None:
    package = tmp_path / "site" / "cm4storage"
    marked_library(package)
    for name in ("automation", "script"):
        copied(CHECKOUT / name, package / "repo" / name)
    shutil.copy(CHECKOUT / "cmr.yaml", package / "repo")
    assert "the library beside this automation" in shown_usage(tmp_path, package / "repo")


def test_another_copy_that_is_imported_already_is_dropped(tmp_path: Path) -> None:
    repository = tmp_path / "checkout"
    copied(CHECKOUT / "automation", repository / "automation")
    marked_library(repository / "src" / "cm4storage")
    code = (
        "import sys, importlib.util, cm4storage.scripting.help as first\n"
        f"path = {str(repository / 'automation' / 'border.py')!r}\n"
        "spec = importlib.util.spec_from_file_location('border', path)\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "import cm4storage.scripting.help as second\n"
        "print('beside' in first.USAGE, 'beside' in second.USAGE)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["False", "True"]


def test_the_cm_process_imports_no_numpy(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        {"new_env_keys": ["LOADED"]},
        hooks="""
            import sys
            def preprocess(i):
                names = ("numpy", "rich", "crc32c", "cryptography")
                i["env"]["LOADED"] = ",".join(n for n in names if n in sys.modules) or "none"
        """,
    )
    assert '"LOADED": "none"' in cm.script("run,it", "-j").stdout


def test_a_defect_of_ours_is_told_as_such(cm: CM, tmp_path: Path) -> None:
    repository = tmp_path / "checkout"
    for name in ("automation", "script"):
        copied(CHECKOUT / name, repository / name)
    shutil.copy(CHECKOUT / "cmr.yaml", repository)
    copied(CHECKOUT / "src" / "cm4storage", repository / "src" / "cm4storage")
    engine = repository / "src" / "cm4storage" / "scripting" / "engine.py"
    engine.write_text(
        engine.read_text().replace("        self._session.guard.check()", "        1 / 0")
    )
    own = CM(tmp_path / "own", tmp_path, {**cm.environment, "CM_REPOS": str(tmp_path / "own")})
    own("init", "repo", f"--path={repository}")
    done = own.script("run,it")
    assert done.returncode == 70
    assert "a defect of cm4storage: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr
