"""customize.py that fails: recipe, file and line come first, and no traceback without -v."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from recipe_books import CM, Recipes

DEEP = "def preprocess(i):\n    deeper()\n\ndef deeper():\n    raise ValueError('of a kind')\n"
LIBRARY = "import json\ndef postprocess(i):\n    json.loads('{')\n"


@pytest.mark.parametrize(
    ("hooks", "status", "headline", "phase"),
    [
        ("def preprocess(i)\n", 70, "do-work: customize.py:1: SyntaxError", "preprocess"),
        ("\nimport nosuch\n", 70, "do-work: customize.py:2: ModuleNotFoundError", "preprocess"),
        ("raise OSError(5, 'dead')\n", 70, "do-work: customize.py:1: OSError", "preprocess"),
        ("import sys\nsys.exit(5)\n", 5, "do-work: import called sys.exit(5)", "preprocess"),
        (DEEP, 70, "do-work: customize.py:5: ValueError: of a kind", "preprocess"),
        (LIBRARY, 70, "do-work: customize.py:3: JSONDecodeError", "postprocess"),
        (
            "def preprocess(i):\n    raise SystemExit(4)\n",
            4,
            "do-work: preprocess called sys.exit(4)",
            "preprocess",
        ),
        (
            "import sys\ndef postprocess(i):\n    sys.exit('told you')\n",
            1,
            "do-work: postprocess called sys.exit('told you')",
            "postprocess",
        ),
        (
            "def preprocess(i):\n    return preprocess(i)\n",
            70,
            "do-work: customize.py:2: RecursionError",
            "preprocess",
        ),
        (
            "def preprocess(i):\n    return {'return': 9, 'error': 'no disk'}\n",
            9,
            "do-work: no disk",
            "preprocess",
        ),
        ("def preprocess(i):\n    return 'what'\n", 1, "do-work: 'what'", "preprocess"),
    ],
)
def test_where_it_failed_comes_first(
    cm: CM, recipes: Recipes, hooks: str, status: int, headline: str, phase: str
) -> None:
    recipes.add("do-work", {"input_mapping": {"n": "N"}}, run="true", hooks=hooks)
    recipes.add("run-it", {"deps": [{"tags": "do,work"}]})
    done = cm.script("run,it", "--n=1")
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(f"error: {headline}")
    assert f"run-it > do-work, phase {phase}" in done.stderr
    assert "cm run script --tags=do,work --n=1" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if status == 70:
        assert "Traceback" in cm.script("run,it", "-v").stderr


def test_an_interrupt_in_a_hook_is_no_crash(cm: CM, recipes: Recipes) -> None:
    recipes.add("do-work", hooks="def preprocess(i):\n    raise KeyboardInterrupt\n")
    done = cm.script("do,work")
    assert done.returncode == 130
    assert "stopped by SIGINT" in done.stderr
    assert "Traceback" not in done.stderr


def test_leaving_a_hook_with_status_0_is_no_error(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "do-work", hooks="import sys\ndef preprocess(i):\n    sys.exit(0)\n", run="echo ran"
    )
    done = cm.script("do,work")
    assert done.returncode == 0, done.stderr
    assert "ran" in done.stdout


def test_an_exception_shows_no_secret(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "do-work", hooks="def preprocess(i):\n    raise ValueError(i['env']['DB_PASSWORD'])\n"
    )
    done = cm.script("do,work", "--env.DB_PASSWORD=pl4nted", "-v")
    assert done.returncode == 70
    assert "ValueError: ***" in done.stderr
    assert "pl4nted" not in done.stderr
