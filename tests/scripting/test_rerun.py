"""The command that runs a failing recipe again is the same run of that recipe."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess

    from recipe_books import CM, Recipes

SHOW = """
    import json
    def preprocess(i):
        env = {k: v for k, v in i["env"].items() if k.startswith(("X_", "+X_", "CM_VERSION"))}
        print("given", json.dumps([env, i["state"]], sort_keys=True))
        return {"return": 1, "error": "no"}
"""


def given(done: subprocess.CompletedProcess[str]) -> str:
    """Return what the failing recipe was given."""
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("given "))
    return line


def again(cm: CM, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Run the command that an error names."""
    (line,) = (line for line in done.stderr.splitlines() if "cm run script" in line)
    return cm(*shlex.split(line)[1:])


@pytest.mark.parametrize(
    "flags",
    [
        ("--env.X_A=it's", "--env.X_B,=1,2", "--env.X_EMPTY="),
        ("--const.X_C=const",),
        ("--state.a.b=deep", "--state.flag"),
        ("--version_max=2", "--version_max_usable=1.5", "--version_min=1"),
        ("--env.+X_PATH,=/a,/b",),
    ],
)
@pytest.mark.parametrize("declares", [True, False])
def test_the_users_call_is_repeated(
    cm: CM, recipes: Recipes, flags: tuple[str, ...], *, declares: bool
) -> None:
    described = {"default_env": {"X_D": "1"}, "input_mapping": {"d": "X_D"}} if declares else {}
    recipes.add("run-it", {"default_version": "3", **described}, hooks=SHOW)
    done = cm.script("run,it", *flags)
    repeated = again(cm, done)
    assert given(repeated) == given(done)
    assert repeated.stderr == done.stderr


def test_what_a_recipe_above_gave_is_repeated(cm: CM, recipes: Recipes) -> None:
    recipes.add("do-work", hooks=SHOW)
    deps = [{"tags": "do,work", "env": {"X_OWN": "a b"}, "version_max_usable": "2"}]
    recipes.add("run-it", {"env": {"X_ABOVE": "1"}, "const": {"X_CONST": "2"}, "deps": deps})
    done = cm.script("run,it", "--quiet")
    repeated = again(cm, done)
    assert given(repeated) == given(done)
    assert "--env.X_ABOVE=1" in repeated.stderr
    assert "CM_QUIET" not in done.stderr


def test_a_forced_cache_is_repeated(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", {"can_force_cache": True}, hooks=SHOW)
    done = cm.script("run,it", "--force_cache")
    assert "cm run script --tags=run,it --force_cache\n" in done.stderr
    assert again(cm, done).stderr == done.stderr
