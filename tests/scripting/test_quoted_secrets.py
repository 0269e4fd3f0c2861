"""A secret is hidden however the shell would have it quoted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cm4storage.scripting.console import Secrets

if TYPE_CHECKING:
    from recipe_books import CM, Recipes

PLANTED = "ab'cdef\"ghij $x"
PARTS = ("cdef", "ghij")


@pytest.mark.parametrize("way", ["--tok=", "--env.TOK=", "--const.TOK="])
def test_a_secret_of_a_dependency_stays_out_of_errors_and_records(
    cm: CM, recipes: Recipes, way: str
) -> None:
    recipes.add(
        "get-key",
        {"input_mapping": {"tok": "TOK"}, "input_description": {"tok": {"secret": True}}},
    )
    recipes.add("run-it", {"deps": [{"tags": "get,key"}]}, run='echo "have $TOK"\nexit 1')
    done = cm.script("run,it", f"{way}{PLANTED}", "--repro", "--print_deps", "-j")
    assert done.returncode == 1
    assert json.loads(done.stdout)["return"] == 1
    records = [path for path in cm.caller.rglob("*") if path.is_file()]
    assert {path.name for path in records} >= {"command.sh", "recipes.json", "result.json"}
    for text in (done.stdout, done.stderr, *(path.read_text() for path in records)):
        assert not any(part in text for part in PARTS), text
    assert "***" in "".join(path.read_text() for path in records)


def test_a_short_secret_of_a_dependency_is_no_part_of_the_command(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "get-key",
        {"input_mapping": {"tok": "TOK"}, "input_description": {"tok": {"secret": True}}},
    )
    recipes.add("run-it", {"deps": [{"tags": "get,key"}]}, run="exit 1")
    done = cm.script("run,it", "--tok=x9")  # too short to be looked for in texts
    assert "'--tok=***'" in done.stderr


def test_a_refused_command_shows_no_secret(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", {"input_mapping": {"token": "TOK"}}, run='sudo make "key=$TOK"')
    done = cm.script("run,it", f"--token={PLANTED}")
    assert "sudo make" in done.stderr
    assert not any(part in done.stdout + done.stderr for part in PARTS)


def test_what_a_shell_has_quoted_is_found() -> None:
    secrets = Secrets()
    secrets.hide(["ab'cdefghij"])
    assert secrets.shown("""x 'tok=ab'"'"'cdefghij'""") == "x 'tok=***'"
