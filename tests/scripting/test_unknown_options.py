"""A mistyped option changes what no command does: it is refused, and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from recipe_books import CACHED, WRITE

if TYPE_CHECKING:
    from recipe_books import CM, Recipes


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (("lint", "script", "--strct"), "--strct"),
        (("doc", "script", "--chek"), "--chek"),
        (("test", "script", "--tgs=x"), "--tgs"),
        (("add", "script", "make-it", "--tgs=x"), "--tgs"),
        (("show", "script", "--tag=x"), "--tag"),
        (("find", "script", "--tgs=x"), "--tgs"),
        (("find", "cache", "--tag=x"), "--tag"),
        (("show", "cache", "--bogus=1"), "--bogus"),
        (("rm", "cache", "--all", "-f", "--name=x"), "--name"),
        (("prune", "cache", "--olderthan=1d"), "--olderthan"),
        (("doctor", "cm4storage", "--fix"), "--fix"),
        (("bootstrap", "cm4storage", "--extra=s3"), "--extra"),
    ],
)
def test_it_is_named(cm: CM, call: tuple[str, ...], option: str) -> None:
    done = cm(*call)
    assert done.returncode == 2, done.stdout
    assert f"has no option {option}" in done.stderr


def test_rm_cache_with_dry_run_removes_nothing(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-data", CACHED, hooks=WRITE)
    assert cm.script("get,data").returncode == 0
    done = cm("rm", "cache", "--tags=get,data", "-f", "--dry_run")
    assert done.returncode == 0
    assert "would remove" in done.stdout
    assert len(cm.entries()) == 1


def test_the_name_of_a_run_is_the_reason_of_a_miss(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-data", CACHED, hooks=WRITE)
    assert "first run" in cm.script("get,data").stdout
    assert "CM_NAME changed unset -> 'mine'" in cm.script("get,data", "--name=mine").stdout
    assert "CM_NAME=mine" in cm("show", "cache", "--tags=name-mine").stdout
