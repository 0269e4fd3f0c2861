"""A caller that has closed stdin, stdout or stderr gets the same run."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from recipe_books import CM, Recipes

HOOKS = """
    import sys
    def preprocess(i):
        print("a hook")
        print("a hook", file=sys.stderr)
"""


def run_with(cm: CM, redirection: str, *words: str) -> subprocess.CompletedProcess[str]:
    line = f"{shlex.join(cm.command('run', 'script', *words))} {redirection}"
    return subprocess.run(
        ["sh", "-c", line],
        cwd=cm.caller,
        env=cm.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("flag", [(), ("-j",)])
@pytest.mark.parametrize("end", ["true", "exit 3"])
def test_a_closed_stream_changes_nothing(
    cm: CM, recipes: Recipes, redirection: str, flag: tuple[str, ...], end: str
) -> None:
    run = f'echo out\necho err >&2\ntouch "$CM_TMP_CURRENT_PATH/done"\n{end}'
    recipes.add("run-it", run=run, hooks=HOOKS)
    done = run_with(cm, redirection, "--tags=run,it", *flag)
    assert done.returncode == (3 if end == "exit 3" else 0), done.stdout + done.stderr
    assert (cm.caller / "done").exists()
    assert "Traceback" not in done.stdout + done.stderr
