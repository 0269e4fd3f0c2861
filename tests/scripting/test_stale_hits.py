"""A hit is what a run would give now: cases in which an entry looked right and was not."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from recipe_books import Recipes

from cm4storage.core.records import replace
from cm4storage.scripting.actions import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM, Library

PUTS_OUT = {"cache": True, "new_env_keys": ["OUT"], "new_state_keys": ["out"]}


@pytest.mark.parametrize("name", ["CM_GIT_URL", "CM_TMP_MODE"])
def test_inputs_with_names_that_stay_local(recipes: Recipes, library: Library, name: str) -> None:
    declared = {**PUTS_OUT, "input_mapping": {"url": name}, "default_env": {name: "0"}}
    hooks = f"def preprocess(i):\n    i['env']['OUT'] = i['env']['{name}']\n"
    recipes.add("get-it", declared, hooks=hooks)
    assert library.env("get,it") == {"OUT": "0"}
    assert library.env("get,it", url="1") == {"OUT": "1"}
    assert library.env("get,it", env={name: "2"}) == {"OUT": "2"}
    recipes.add("get-free", PUTS_OUT, hooks=hooks)
    for value in ("a", "b"):
        recipes.add(f"run-{value}", {"new_env_keys": ["OUT"]})
        deps = [{"tags": "get,free", "env": {name: value}}]
        recipes.add(f"run-{value}", {"new_env_keys": ["OUT"], "deps": deps})
        assert library.env(f"run,{value}") == {"OUT": value}


def test_the_order_of_variations_where_it_matters(recipes: Recipes, library: Library) -> None:
    variations = {name: {"state": {"out": name}} for name in ("a", "b")}
    free = {name: {"env": {name.upper(): "1"}} for name in ("c", "d")}
    declared = {**PUTS_OUT, "variations": {**variations, **free}, "default_env": {"X": "1"}}
    recipes.add("get-it", declared)
    assert library.run("get,it,_a,_b")["new_state"] == {"out": "b"}
    assert library.run("get,it,_b,_a")["new_state"] == {"out": "a"}
    assert library.decision("get,it,_c,_d").startswith("miss: ")
    assert library.decision("get,it,_d,_c").startswith("hit: ")


def test_a_recipe_that_a_hook_runs_instead(recipes: Recipes, library: Library) -> None:
    instead = "return {'return': 0, 'skip': True, 'script': {'tags': 'make,other'}}"
    recipes.add("get-it", PUTS_OUT, hooks=f"def preprocess(i):\n    {instead}\n")
    for version in ("1", "2"):
        recipes.add(
            "make-other",
            {"new_env_keys": ["OUT"]},
            hooks=f"def preprocess(i):\n    i['env']['OUT'] = '{version}'\n",
        )
        assert library.env("get,it")["OUT"] == version
    assert not library.entries()


def test_parents_of_a_result_that_is_in_doubt(recipes: Recipes, library: Library) -> None:
    swap = "i['meta']['post_deps'] = [{'tags': 'make,other'}]"
    child = {**PUTS_OUT, "post_deps": [{"tags": "make,first"}]}
    recipes.add("get-child", child, hooks=f"def preprocess(i):\n    {swap}\n")
    recipes.add("make-first")
    recipes.add("get-parent", {**PUTS_OUT, "deps": [{"tags": "get,child"}]})
    for version in ("1", "2"):
        recipes.add(
            "make-other",
            {"new_env_keys": ["OUT"]},
            hooks=f"def preprocess(i):\n    i['env']['OUT'] = '{version}'\n",
        )
        assert library.env("get,parent") == {"OUT": version}


def test_a_file_of_the_same_content_elsewhere(
    recipes: Recipes, library: Library, tmp_path: Path
) -> None:
    declared = {
        **PUTS_OUT,
        "input_mapping": {"cfg": "CFG"},
        "input_description": {"cfg": {"desc": "A file", "type": "file"}},
    }
    recipes.add(
        "get-it", declared, hooks="def preprocess(i):\n    i['env']['OUT'] = i['env']['CFG']\n"
    )
    first, second = tmp_path / "first" / "file", tmp_path / "second" / "file"
    first.parent.mkdir()
    second.parent.mkdir()
    first.write_text("same")
    assert library.env("get,it", cfg=str(first)) == {"OUT": str(first)}
    first.write_text("other")
    second.write_text("same")
    assert library.env("get,it", cfg=str(second)) == {"OUT": str(second)}
    assert "another file of the same content" in library.said()
    assert library.decision("get,it", cfg=str(second)).startswith("hit: ")


def test_results_in_a_folder_of_the_caller(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", PUTS_OUT, run="echo made > result.txt")
    for name in ("one", "two"):
        cm.caller = cm.caller.parent / name
        cm.caller.mkdir()
        for _ in range(2):
            (cm.caller / "out" / "result.txt").unlink(missing_ok=True)
            done = cm.script("get,it", "--outdirname=out")
            assert done.returncode == 0, done.stdout + done.stderr
            assert (cm.caller / "out" / "result.txt").exists()


def test_a_relative_path_means_another_file_elsewhere(cm: CM, recipes: Recipes) -> None:
    run = 'echo "OUT=$CM_INPUT of $CM_TMP_CURRENT_PATH" > tmp-run-env.out'
    recipes.add("get-it", PUTS_OUT, run=run)
    for name in ("one", "two"):
        cm.caller = cm.caller.parent / name
        cm.caller.mkdir()
        said = json.loads(cm.script("get,it", "--input=file", "-j").stdout)
        assert said["new_env"] == {"OUT": f"file of {cm.caller}"}


@pytest.mark.parametrize("name", [".config", "lib/.hidden/part"])
def test_hidden_files_are_code(recipes: Recipes, library: Library, name: str) -> None:
    read = f'echo "OUT=$(cat "$CM_TMP_CURRENT_SCRIPT_PATH/{name}")" > tmp-run-env.out'
    folder = recipes.add("get-it", PUTS_OUT, run=read)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for version in ("1", "2"):
        (folder / name).write_text(version)
        assert library.env("get,it") == {"OUT": version}


def test_files_behind_a_link_to_a_folder_are_code(
    recipes: Recipes, library: Library, tmp_path: Path
) -> None:
    read = 'echo "OUT=$(cat "$CM_TMP_CURRENT_SCRIPT_PATH/lib/part")" > tmp-run-env.out'
    folder = recipes.add("get-it", PUTS_OUT, run=read)
    (tmp_path / "lib").mkdir()
    (folder / "lib").symlink_to(tmp_path / "lib")
    for version in ("1", "2"):
        (tmp_path / "lib" / "part").write_text(version)
        assert library.env("get,it") == {"OUT": version}


def test_later_recipes_of_one_alias(recipes: Recipes, library: Library, tmp_path: Path) -> None:
    (tmp_path / "second" / "script").mkdir(parents=True)
    second = Recipes(tmp_path / "second")
    both = [*library.surroundings.repositories, Repository("second", second.folder)]
    library.surroundings = replace(library.surroundings, repositories=both)
    second.add("same", {"uid": "00000000000000f1", "tags": ["other", "one"]}, run="true")
    deps = [{"tags": "this,one"}, {"tags": "other,one"}]
    recipes.add("get-it", {**PUTS_OUT, "prehook_deps": deps})
    for version in ("1", "2"):
        recipes.add(
            "same",
            {"tags": ["this", "one"], "new_env_keys": ["OUT"]},
            run=f"echo OUT={version} > tmp-run-env.out",
        )
        assert library.env("get,it") == {"OUT": version}


def test_code_that_changes_while_it_runs(recipes: Recipes, library: Library) -> None:
    edit = "with open(i['automation'].path + '/run.sh', 'a') as stream:"
    write = "stream.write('echo OUT=new > tmp-run-env.out')"
    hooks = f"def preprocess(i):\n    {edit}\n        {write}\n"
    folder = recipes.add("get-it", PUTS_OUT, run="echo OUT=old > tmp-run-env.out\n", hooks=hooks)
    assert library.env("get,it") == {"OUT": "new"}
    assert "its code changed while it ran" in library.said()
    (folder / "run.sh").write_text("echo OUT=old > tmp-run-env.out\n")
    (folder / "customize.py").unlink()
    assert library.env("get,it") == {"OUT": "old"}


def test_what_update_meta_if_env_looks_at(recipes: Recipes, library: Library) -> None:
    update = [{"enable_if_env": {"MODE": ["fast"]}, "env": {"OUT": "-O3"}}]
    declared = {**PUTS_OUT, "default_env": {"X": "1"}, "update_meta_if_env": update}
    recipes.add("get-it", declared)
    assert library.env("get,it", env={"MODE": "fast"}) == {"OUT": "-O3"}
    assert library.env("get,it", env={"MODE": "slow"}) == {}


def test_the_state_that_comes_in(recipes: Recipes, library: Library) -> None:
    hooks = "def preprocess(i):\n    i['env']['OUT'] = str(i['state'].get('who'))\n"
    recipes.add("get-it", {**PUTS_OUT, "default_env": {"X": "1"}}, hooks=hooks)
    for who in ("1", "2"):
        assert library.env("get,it", state={"who": who}) == {"OUT": who}


def test_a_miss_gives_what_a_hit_gives(recipes: Recipes, library: Library) -> None:
    hooks = "def preprocess(i):\n    i['state']['out'] = {1: ('a', 'b')}\n"
    recipes.add("get-it", PUTS_OUT, hooks=hooks)
    assert library.run("get,it")["new_state"] == {"out": {"1": ["a", "b"]}}
    assert library.run("get,it")["new_state"] == {"out": {"1": ["a", "b"]}}


def test_numbers_that_json_does_not_have(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", PUTS_OUT, hooks="def preprocess(i):\n    i['state']['out'] = 1e999\n")
    assert library.run("get,it")["new_state"] == {"out": float("inf")}
    assert "not cached: its outputs cannot be written as JSON" in library.said()


def test_what_stands_beside_the_metadata_is_found_by_its_tags(
    recipes: Recipes, library: Library
) -> None:
    folder = recipes.add("run-it")
    library.run("run,it")
    os.utime(folder / "_cm.yaml")
    (folder / "_cm.json").write_text('{"tags": ["run", "other"]}')
    assert library.run("run,other")["recipe"] == "run-it"
    (folder / "_cm.json").unlink()
    assert library.run("run,it")["recipe"] == "run-it"


def test_an_entry_that_was_not_written_leaves_no_folder(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", PUTS_OUT, hooks="def preprocess(i):\n    i['state']['out'] = {1j}\n")
    library.run("get,it")
    cache = library.surroundings.cache.folder
    assert [path.name for path in cache.iterdir() if path.name != ".locks"] == []
