"""Which recipe a query means."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from recipe_books import Recipes

from cm4storage.core.errors import UserError
from cm4storage.core.records import replace
from cm4storage.scripting.actions import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipe_books import Library

NAMED = {"new_env_keys": ["WHO"]}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("run,dlio,mlprf", r"no recipe has all of these tags(.|\n)*run-dlio-mlperf"),
        ("run,dlio,report", r"no recipe has all of these tags(.|\n)*nearest recipes"),
        ("run,dlio", r"2 recipes have these tags(.|\n)*run-dlio-loader(.|\n)*run-dlio-mlperf"),
        ("run,dlio,-loader,-mlperf", "no recipe has all of these tags"),
    ],
)
def test_queries_without_one_answer(
    recipes: Recipes, library: Library, tags: str, message: str
) -> None:
    recipes.add("run-dlio-loader")
    recipes.add("run-dlio-mlperf")
    with pytest.raises(UserError, match=message):
        library.run(tags)


@pytest.mark.parametrize(
    ("tags", "who"),
    [
        ("run,it", "exact"),
        ("run,it,more", "more"),
        ("run,it,_v", "more"),
        ("run,-more", "exact"),
        ("more it run", "more"),
    ],
)
def test_queries_with_one_answer(recipes: Recipes, library: Library, tags: str, who: str) -> None:
    recipes.add("run-it", {**NAMED, "env": {"WHO": "exact"}})
    recipes.add("run-it-more", {**NAMED, "env": {"WHO": "more"}, "variations": {"v": {}}})
    assert library.env(tags) == {"WHO": who}


def test_an_alias_or_uid_instead_of_tags(recipes: Recipes, library: Library) -> None:
    recipes.add("run-it", {**NAMED, "env": {"WHO": "it"}, "uid": "0123456789abcdef"})
    assert library.env("", artifact="run-it") == {"WHO": "it"}
    assert library.env("", artifact="0123456789abcdef") == {"WHO": "it"}
    with pytest.raises(UserError, match=r"called 'run-at'(.|\n)*run-it"):
        library.run("", artifact="run-at")


def test_edited_and_new_and_removed_recipes_are_noticed(recipes: Recipes, library: Library) -> None:
    folder = recipes.add("run-it", {**NAMED, "env": {"WHO": "1"}})
    assert library.env("run,it") == {"WHO": "1"}
    before = (folder / "_cm.yaml").stat()
    recipes.add("run-it", {**NAMED, "tags": ["run", "at"], "env": {"WHO": "2"}})
    os.utime(folder / "_cm.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert library.env("run,at") == {"WHO": "2"}
    recipes.add("run-new", {**NAMED, "env": {"WHO": "3"}})
    assert library.env("run,new") == {"WHO": "3"}
    (folder / "_cm.yaml").unlink()
    with pytest.raises(UserError, match="no recipe has all"):
        library.run("run,at")


def index_of(library: Library) -> Path:
    return library.surroundings.local_folder / ".cm4storage-recipes"


def settle(recipes: Recipes, library: Library) -> bytes:
    """Run until the index is believed: files that changed just now are looked at again."""
    newest_s = max(p.stat().st_ctime for p in recipes.folder.glob("script/*/_cm.yaml"))
    while time.time() - newest_s < 0.15:
        time.sleep(0.02)
    library.run("run,it")
    library.run("run,it")
    return index_of(library).read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data.replace(b"cm4storage recipes", b"cm4storage recipe5"),
        lambda data: data.replace(b",it,", b",at,"),
        lambda data: data.replace(b"\t", b" "),
        lambda data: data + b"\xff\n+",
    ],
)
def test_a_damaged_index_costs_nothing_but_time(
    recipes: Recipes, library: Library, damage: Callable[[bytes], bytes]
) -> None:
    recipes.add("run-it", {**NAMED, "env": {"WHO": "1"}})
    good = settle(recipes, library)
    assert damage(good) != good
    index_of(library).write_bytes(damage(good))
    assert library.env("run,it") == {"WHO": "1"}
    assert index_of(library).read_bytes() == good


def test_an_index_that_is_believed_is_not_written_again(recipes: Recipes, library: Library) -> None:
    recipes.add("run-it", {**NAMED, "env": {"WHO": "1"}})
    settle(recipes, library)
    before = index_of(library).stat()
    library.run("run,it")
    assert index_of(library).stat().st_ino == before.st_ino


def test_an_edit_within_one_tick_of_the_clock_is_noticed(
    recipes: Recipes, library: Library
) -> None:
    for number in range(200, 240):  # of one length, and right after the index was written
        recipes.add("run-it", {**NAMED, "tags": ["run", f"it{number}"], "env": {"WHO": "1"}})
        assert library.env(f"run,it{number}") == {"WHO": "1"}


def test_what_stands_beside_the_metadata_counts_when_the_recipe_is_chosen(
    recipes: Recipes, library: Library
) -> None:
    folder = recipes.add("run-it", {**NAMED, "env": {"WHO": "1"}})
    recipes.add("run-it-too", {**NAMED, "tags": ["run", "it", "too"], "env": {"WHO": "2"}})
    settle(recipes, library)
    (folder / "_cm.json").write_text('{"tags": ["run", "other"]}')
    assert library.env("run,it") == {"WHO": "2"}


def test_a_folder_whose_name_cannot_stand_in_the_index_is_left_out(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("run-it", {**NAMED, "env": {"WHO": "1"}})
    recipes.add("run-a\tb\nc", {"tags": ["run", "odd"]})
    assert library.env("run,it") == {"WHO": "1"}
    assert library.env("run,it") == {"WHO": "1"}
    assert "left out" in library.said()
    with pytest.raises(UserError, match="no recipe has all"):
        library.run("run,odd")


@pytest.mark.parametrize(
    ("yaml_text", "message"),
    [
        ("tags: [", "cannot read the metadata file _cm.yaml"),
        ("- a\n- b\n", "must hold a mapping"),
        ("uid: '1'\ntags: [no, x]\n", "quote yes, no, on and off"),
        ("uid: '1'\ndeps: {tags: a}\n", "deps: must be a list of mappings"),
        ("uid: '1'\nenv: [1]\n", "env: must be a mapping"),
        (
            "uid: '1'\ninput_description: {a: {type: integer}}\n",
            "input_description.a.type: must be one",
        ),
        ("uid: '1'\ncache: perhaps\n", "cache: must be true or false"),
    ],
)
def test_a_broken_recipe_is_named_and_does_not_stop_others(
    recipes: Recipes, library: Library, yaml_text: str, message: str
) -> None:
    recipes.add("run-it", {**NAMED, "env": {"WHO": "1"}})
    broken = recipes.folder / "script" / "broken"
    broken.mkdir()
    (broken / "_cm.yaml").write_text(yaml_text)
    assert library.env("run,it") == {"WHO": "1"}
    said = library.said()
    assert message in said
    assert "broken/_cm.yaml" in said


def second(library: Library, folder: Path) -> Recipes:
    (folder / "script").mkdir(parents=True)
    other = Recipes(folder)
    library.surroundings = replace(
        library.surroundings,
        repositories=[Repository("other", folder), *library.surroundings.repositories],
    )
    return other


def test_the_home_repository_goes_before_another_copy_of_its_recipe(
    recipes: Recipes, library: Library, tmp_path: Path
) -> None:
    second(library, tmp_path / "other").add("run-it", {**NAMED, "env": {"WHO": "other"}})
    recipes.add("run-it", {**NAMED, "env": {"WHO": "home"}})
    assert library.env("run,it") == {"WHO": "home"}


def test_a_dependency_is_looked_for_beside_the_recipe_first(
    recipes: Recipes, library: Library, tmp_path: Path
) -> None:
    other = second(library, tmp_path / "other")
    other.add("get-it", {**NAMED, "uid": "1" * 16, "env": {"WHO": "other"}})
    other.add("run-other", {**NAMED, "deps": [{"tags": "get,it"}]})
    recipes.add("get-it", {**NAMED, "env": {"WHO": "home"}})
    recipes.add("run-home", {**NAMED, "deps": [{"tags": "get,it"}]})
    assert library.env("run,other") == {"WHO": "other"}
    assert library.env("run,home") == {"WHO": "home"}
    assert library.env("get,it") == {"WHO": "home"}


def test_a_user_gets_the_exact_recipe_wherever_it_is(
    recipes: Recipes, library: Library, tmp_path: Path
) -> None:
    second(library, tmp_path / "other").add("get-it", {**NAMED, "env": {"WHO": "other"}})
    recipes.add("get-it-all", {**NAMED, "env": {"WHO": "home"}})
    assert library.env("get,it") == {"WHO": "other"}


def test_a_recipe_that_depends_on_itself(recipes: Recipes, library: Library) -> None:
    recipes.add("run-it", {"deps": [{"tags": "do,it"}]})
    recipes.add("do-it", {"deps": [{"tags": "run,it"}]})
    with pytest.raises(UserError, match="depends on itself"):
        library.run("run,it")


def test_a_cached_recipe_that_waits_for_itself(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", {"cache": True, "default_env": {}, "prehook_deps": [{"tags": "get,it"}]})
    with pytest.raises(UserError, match="depends on itself"):
        library.run("get,it")
