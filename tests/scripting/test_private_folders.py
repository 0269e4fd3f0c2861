"""What a script puts out is nobody else's to read, even after the run was killed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from process_watch import until

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM, Recipes

WRITE = 'echo "PIN=1234" > tmp-run-env.out\necho "{}" > tmp-run-state.json\n'


def is_closed(path: Path) -> bool:
    return not path.stat().st_mode & 0o077


def test_a_killed_run_leaves_nothing_that_others_may_read(cm: CM, recipes: Recipes) -> None:
    cache_run = f'{WRITE}touch "$CM_TMP_CURRENT_PATH/there"\nsleep 600'
    recipes.add("run-it", {"cache": True}, run=cache_run)
    process = cm.start("run", "script", "--tags=run,it")
    assert until((cm.caller / "there").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (file,) = cm.cache.glob("*/tmp-run-env.out")
    assert is_closed(file)
    assert is_closed(file.parent)


@pytest.mark.parametrize("word", ["made", "--outdirname=there"])
def test_the_output_file_is_closed_while_the_script_runs(
    cm: CM, recipes: Recipes, word: str
) -> None:
    show = f'{WRITE}stat -c "%a %n" tmp-run-env.out'
    recipes.add("run-it", {"new_env_keys": ["PIN"], "env": {"WORD": word}}, run=show)
    done = cm.script("run,it", *([word] if word.startswith("--") else []), "--print_env")
    assert "600 tmp-run-env.out" in done.stdout
    assert "PIN=1234" in done.stdout


def test_a_complete_entry_is_as_open_as_the_cache(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", {"cache": True, "new_env_keys": ["PIN"]}, run=WRITE)
    assert cm.script("run,it").returncode == 0
    (entry,) = cm.entries()
    assert entry.parent.stat().st_mode == cm.cache.stat().st_mode
