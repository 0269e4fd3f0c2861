"""What a user reads when a recipe fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cm4storage.core.errors import StorageBenchmarkError, UserError
from cm4storage.scripting.failures import RecipeFailure, exit_status, status_text

if TYPE_CHECKING:
    from recipe_books import Library, Recipes


def nested(recipes: Recipes, *, run: str = "", hooks: str = "", cache: bool = False) -> None:
    recipes.add(
        "do-work",
        {
            "input_mapping": {"n": "N", "password": "PASSWORD"},
            "default_env": {"N": "1", "MODE": "plain"},
            "variations": {"fast": {}},
            "cache": cache,
        },
        run=run,
        hooks=hooks,
    )
    recipes.add("prepare-work", {"deps": [{"tags": "do,work,_fast", "env": {"MODE": "it's"}}]})
    recipes.add("run-it", {"prehook_deps": [{"tags": "prepare,work"}]})


def failure(library: Library, **given: str) -> RecipeFailure:
    with pytest.raises(RecipeFailure, match="do-work") as caught:
        library.run("run,it", **given)
    return caught.value


@pytest.mark.parametrize(
    ("run", "status", "words"),
    [
        ("exit 3", 3, ["run.sh: exit code 3", "its own message is above"]),
        ("exit 70", 70, ["run.sh: exit code 70"]),
        ("false", 1, ["run.sh: exit code 1"]),
        ("kill -KILL $$", 137, ["killed by SIGKILL (exit code 137)", "out of memory"]),
        ("bash -c 'kill -SEGV $$'", 139, ["killed by SIGSEGV", "native code"]),
        ("no-such-command-here", 127, ["exit code 127", "a command was not found"]),
    ],
)
def test_run_sh(
    recipes: Recipes, library: Library, run: str, status: int, words: list[str]
) -> None:
    nested(recipes, run=run)
    error = failure(library, n="7")
    assert exit_status(error) == status
    for word in words:
        assert word in error.render()
    assert "run-it > prepare-work > do-work, phase run.sh" in error.where


def test_the_command_that_runs_only_the_failing_recipe(recipes: Recipes, library: Library) -> None:
    nested(recipes, run="exit 1")
    error = failure(library, n="7", password="hunter22")
    command = "cm run script --tags=do,work,_fast --n=7 '--password=***' '--env.MODE=it'\"'\"'s'"
    assert command in error.advice
    assert "hunter22" not in error.render()
    nested(recipes, run='test "$MODE" = "it\'s" && exit 9')
    with pytest.raises(RecipeFailure, match="exit code 9"):
        library.run("do,work,_fast", n="7", env={"MODE": "it's"})


@pytest.mark.parametrize(
    ("hooks", "status", "headline", "phase"),
    [
        (
            "def preprocess(i):\n    return {'return': 3, 'error': 'the disk is on fire'}\n",
            3,
            "do-work: the disk is on fire",
            "preprocess",
        ),
        (
            "def preprocess(i):\n    deeper()\n\ndef deeper():\n    raise KeyError('x')\n",
            70,
            "do-work: customize.py:5: KeyError: 'x'",
            "preprocess",
        ),
        (
            "import json\ndef postprocess(i):\n    json.loads('{')\n",
            70,
            "do-work: customize.py:3: JSONDecodeError",
            "postprocess",
        ),
        ("def preprocess(i)\n", 70, "do-work: customize.py:1: SyntaxError", "preprocess"),
        ("import nosuchmodule\n", 70, "do-work: customize.py:1: ModuleNotFoundError", "preprocess"),
        ("import sys\ndef preprocess(i):\n    sys.exit(4)\n", 4, "sys.exit(4)", "preprocess"),
    ],
)
def test_customize(
    recipes: Recipes, library: Library, hooks: str, status: int, headline: str, phase: str
) -> None:
    nested(recipes, hooks=hooks)
    error = failure(library)
    assert exit_status(error) == status
    assert headline in error.what
    assert f"run-it > prepare-work > do-work, phase {phase}" in error.where


@pytest.mark.parametrize(
    ("run", "hooks"),
    [
        ("touch made; exit 1", ""),
        ("touch made", "def postprocess(i):\n    raise ValueError\n"),
        ("touch made; echo '[' > tmp-run-state.json", ""),
        (
            "touch made",
            "def postprocess(i):\n    i['env']['X'] = '<<<Y>>>'\n    return {'return': 1}\n",
        ),
    ],
)
def test_a_failed_run_leaves_nothing(
    recipes: Recipes, library: Library, run: str, hooks: str
) -> None:
    nested(recipes, run=run, hooks=hooks, cache=True)
    for _ in range(2):
        with pytest.raises(StorageBenchmarkError, match=r"do-work|tmp-run-state"):
            library.run("run,it")
        assert "miss: first run" in library.said()
        cache = library.surroundings.cache.folder
        assert [path.name for path in cache.iterdir()] == [".locks"]
        assert not list(library.surroundings.local_folder.parent.joinpath("tmp").iterdir())


def test_a_variable_that_is_not_set_stops_before_run_sh(recipes: Recipes, library: Library) -> None:
    recipes.add("run-it", {"env": {"A": "<<<NOT_SET>>>"}}, run="touch /nowhere/x")
    with pytest.raises(UserError, match="the variable NOT_SET in '<<<NOT_SET>>>' is not set"):
        library.run("run,it")


def test_errors_of_selection_name_the_chain(recipes: Recipes, library: Library) -> None:
    recipes.add("do-it", {"deps": [{"tags": "nosuch,recipe"}]})
    recipes.add("run-it", {"deps": [{"tags": "do,it"}]})
    with pytest.raises(UserError, match=r"nosuch,recipe") as caught:
        library.run("run,it")
    assert caught.value.where.endswith("run-it > do-it")


def test_a_skipped_recipe_runs_nothing_more(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "run-it",
        {"new_env_keys": ["A"]},
        run="exit 1",
        hooks="""
            def preprocess(i):
                i["env"]["A"] = "set before"
                return {"return": 0, "skip": True}
            def postprocess(i):
                raise RuntimeError
        """,
    )
    assert library.env("run,it") == {"A": "set before"}


def test_phases_come_in_order(recipes: Recipes, library: Library) -> None:
    note = "def preprocess(i):\n    i['state'].setdefault('seen', []).append('{}')\n"
    for name in ("first", "prehook", "posthook", "last"):
        recipes.add(f"note-{name}", {"new_state_keys": ["seen"]}, hooks=note.format(name))
    recipes.add(
        "run-it",
        {
            "deps": [{"tags": "note,first"}],
            "prehook_deps": [{"tags": "note,prehook"}],
            "posthook_deps": [{"tags": "note,posthook"}],
            "post_deps": [{"tags": "note,last"}],
            "new_state_keys": ["seen"],
        },
        run="""echo '{"seen": ["run.sh"]}' > tmp-run-state.json""",
        hooks="""
            def preprocess(i):
                i["state"]["seen"].append("preprocess")
            def postprocess(i):
                i["state"]["seen"].append("postprocess")
        """,
    )
    assert library.run("run,it")["new_state"]["seen"] == [
        "first",
        "preprocess",
        "prehook",
        "run.sh",
        "posthook",
        "postprocess",
        "last",
    ]


def test_what_hooks_are_given(recipes: Recipes, library: Library) -> None:
    folder = recipes.add(
        "run-it",
        {"variations": {"v": {}}, "new_env_keys": ["GOT"], "input_mapping": {"n": "N"}},
        hooks="""
            import os
            def preprocess(i):
                i["env"]["GOT"] = {
                    "keys": sorted(i),
                    "tags": i["script_tags"], "variations": i["variation_tags"],
                    "n": i["input"]["n"], "path": i["artifact"].path,
                    "cwd": os.getcwd() == i["env"]["CM_TMP_CURRENT_SCRIPT_WORK_PATH"],
                    "separator": i["os_info"]["env_separator"],
                }
        """,
    )
    got = library.env("run,it,_v", n="1")["GOT"]
    assert {
        "env",
        "state",
        "meta",
        "input",
        "automation",
        "artifact",
        "os_info",
        "script_tags",
        "variation_tags",
        "run_script_input",
        "recursion_spaces",
        "customize",
    } <= set(got.pop("keys"))
    assert got == {
        "tags": ["run", "it"],
        "variations": ["v"],
        "n": "1",
        "path": str(folder),
        "cwd": True,
        "separator": ":",
    }


@pytest.mark.parametrize(
    ("status", "text"),
    [(1, "exit code 1"), (143, "killed by SIGTERM (exit code 143)"), (255, "exit code 255")],
)
def test_status_in_words(status: int, text: str) -> None:
    assert status_text(status) == text
