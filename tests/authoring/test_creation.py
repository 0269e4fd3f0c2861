"""``cm add script``: a recipe that runs, has tests and keeps all rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from recipe_books import CM
    from rule_books import Book


@pytest.mark.parametrize("template", ["basic", "cached"])
def test_a_new_recipe_runs_and_lints_and_passes_its_tests(cm: CM, template: str) -> None:
    done = cm("add", "script", "get-answer", "--tags=get,answer,42", f"--template={template}")
    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("run", "test", "lint", "doc"):
        assert f"cm {command} script --tags=get,answer,42" in done.stdout
    ran = cm("run", "script", "--tags=get,answer,42")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    linted = cm("lint", "script", "--tags=get,answer,42", "--strict")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    tested = cm("test", "script", "--tags=get,answer,42")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 tests: 2 passed" in tested.stdout
    folder = cm.folder / "repos" / "local" / "script" / "get-answer"
    for command in (["shellcheck", folder / "run.sh"], ["ruff", "check", "--no-cache", folder]):
        tool = Path(sys.executable).with_name(str(command[0]))
        checked = subprocess.run([tool, *command[1:]], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


def test_a_new_recipe_of_another_repository_has_its_prefix(book: Book) -> None:
    done = book.cm("add", "script", "recipes:say-hello", "-j")
    answer = json.loads(done.stdout)
    folder = book.folder / "script" / "say-hello"
    assert answer["path"] == str(folder)
    metadata = yaml.safe_load((folder / "_cm.yaml").read_text())
    assert metadata["tags"] == ["say", "hello"]
    assert metadata["new_env_keys"] == ["OWN_GREETING"]
    assert [path.name for path in book.folder.iterdir() if path.name.startswith(".")] == []
    book.document()
    assert book.lint() == (0, [])


def test_two_new_recipes_have_identifiers_of_their_own(cm: CM) -> None:
    uids = {
        json.loads(cm("add", "script", name, "-j").stdout)["meta"]["uid"]
        for name in ("get-one", "get-two")
    }
    assert len(uids) == 2


def test_nothing_is_overwritten(book: Book) -> None:
    folder = book.write()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = book.cm("add", "script", "recipes:get-thing", "--tags=other,tags")
    assert done.returncode == 1
    assert "there is a recipe called get-thing already" in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_tags_of_another_recipe_are_refused(book: Book) -> None:
    book.write()
    done = book.cm("add", "script", "recipes:get-it", "--tags=thing,get")
    assert done.returncode == 1
    assert "these are the tags of get-thing" in done.stderr
    assert not (book.folder / "script" / "get-it").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "what is the recipe called?"),
        (["Get_Thing!"], "a recipe cannot be called"),
        (["../outside"], "a recipe cannot be called"),
        (["get-it", "--tags=get,_it"], "this cannot be a tag of a recipe: it"),
        (["get-it", "--template=bsic"], "did you mean basic?"),
    ],
)
def test_a_call_that_cannot_be_right(cm: CM, words: list[str], says: str) -> None:
    done = cm("add", "script", *words)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_repository_that_does_not_exist(cm: CM) -> None:
    done = cm("add", "script", "cm4storge:get-it")
    assert done.returncode == 1
    assert "did you mean cm4storage?" in done.stderr


def test_cm_itself_knows_the_new_recipe(cm: CM) -> None:
    assert cm("add", "script", "get-answer").returncode == 0
    assert "get-answer" in cm("find", "script", "--tags=get,answer").stdout
    removed = cm("rm", "script", "get-answer", "-f")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert "no recipe has these tags" in cm("find", "script", "--tags=get,answer").stdout


@pytest.mark.parametrize("alias", ["cm-hello", "mlc-hello", "say-hello"])
def test_a_name_that_would_give_variables_an_engines_prefix(cm: CM, alias: str) -> None:
    assert cm("add", "script", alias).returncode == 0
    linted = cm("lint", "script", alias, "--strict")
    assert linted.returncode == 0, linted.stdout


def test_cm_itself_renames_and_copies_a_recipe(cm: CM) -> None:
    assert cm("add", "script", "get-answer").returncode == 0
    renamed = cm("rename", "script", "get-answer", "get-reply")
    assert renamed.returncode == 0, renamed.stdout + renamed.stderr
    copied = cm("cp", "script", "get-reply", "get-response")
    assert copied.returncode == 0, copied.stdout + copied.stderr
    assert "get-response" in cm("find", "script", "get-response").stdout
