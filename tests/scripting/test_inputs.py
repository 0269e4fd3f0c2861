"""--inputs: types, relative paths, and those that nobody knows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UsageError, UserError
from cm4storage.scripting.metadata import parse_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import Library, Recipes


@pytest.fixture
def typed(recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        {
            "input_mapping": {
                "max_steps": "V",
                "rate": "V",
                "fast": "V",
                "mode": "V",
                "data_dir": "V",
                "config": "V",
                "any": "V",
                "password": "V",
                "sweep": "V",
            },
            "input_description": {
                "max_steps": {"type": "int", "desc": "how many steps", "minimum": 1},
                "rate": {"type": "float", "minimum": 0, "maximum": 1.5},
                "fast": {"type": "flag"},
                "mode": {"type": "string", "choices": ["read", "write"]},
                "data_dir": {"type": "path"},
                "config": {"type": "file"},
                "any": "described by a text only",
                "password": {"type": "int"},
                "sweep": {"type": "settings", "desc": "keys and their values"},
            },
            "new_env_keys": ["V"],
        },
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_steps": "12"}, "12"),
        ({"rate": "1e-3"}, "1e-3"),
        ({"fast": True}, "yes"),
        ({"fast": "no"}, "no"),
        ({"fast": False}, "no"),
        ({"mode": "read"}, "read"),
        ({"data_dir": "s3://bucket/x"}, "s3://bucket/x"),
        ({"data_dir": "/abs/../x"}, "/x"),
        ({"any": True}, True),
        (
            {"sweep": {"reader": {"threads": "1 2", "size": ["4", 8]}, "a": 1}},
            "reader.threads=1 2 reader.size=4 8 a=1",
        ),
        ({"sweep": {"reader.threads": "1 2"}}, "reader.threads=1 2"),
        ({"sweep": "reader.threads=1 2"}, "reader.threads=1 2"),
        ({"env": {"V": "reader.threads=1 2"}}, "reader.threads=1 2"),
    ],
)
@pytest.mark.usefixtures("typed")
def test_good_values(library: Library, given: dict[str, Any], expected: Any) -> None:
    assert library.env("run,it", **given) == {"V": expected}


@pytest.mark.usefixtures("typed")
def test_relative_paths_are_the_callers(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text("x")
    assert library.env("run,it", data_dir="sub/data") == {"V": str(tmp_path / "sub" / "data")}
    assert library.env("run,it", config="w.yaml") == {"V": str(tmp_path / "w.yaml")}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_steps": "abc"}, r"--max_steps must be a whole number, not 'abc'"),
        ({"max_steps": "1.5"}, r"--max_steps must be a whole number, not '1.5'"),
        ({"max_steps": True}, r"--max_steps needs a value"),
        ({"max_steps": "0"}, r"--max_steps must be at least 1, not 0\n"),
        ({"max_steps": 0}, r"--max_steps must be at least 1, not 0\n"),
        ({"rate": "-0.1"}, r"--rate must be at least 0, not -0.1$"),
        ({"rate": "1.6"}, r"--rate must be at most 1.5, not 1.6$"),
        ({"rate": "nan"}, r"--rate must be at least 0, not nan$"),
        ({"data_dir": ""}, r"--data_dir needs a value"),
        ({"config": ""}, r"--config needs a value"),
        ({"adr": {"it": {"tags": "_x"}}}, r"--adr.it: no dependency of this run(.|\n)*names: none"),
        ({"rate": "fast"}, r"--rate must be a number, not 'fast'"),
        ({"fast": "perhaps"}, r"--fast is a flag"),
        ({"mode": "reed"}, r"--mode must be one of read, write, not 'reed'"),
        ({"data_dir": True}, r"--data_dir needs a value"),
        ({"data_dri": "x"}, r"input --data_dri(.|\n)*did you mean --data_dir\?"),
        ({"fake_rum": True}, r"input --fake_rum(.|\n)*did you mean --fake_run\?"),
        ({"env": "X"}, r"--env needs a name"),
        ({"tags": True}, r"--tags needs a value"),
        ({"adr": {"x": "y"}}, r"--adr.x needs a key"),
        ({"version": True}, r"--version needs a value"),
        ({"sweep": True}, r"--sweep needs a key and a value(.|\n)*--sweep.KEY=VALUE"),
        ({"sweep": {"reader": {"threads": True}}}, r"--sweep.reader.threads needs a value"),
        ({"sweep": {"reader": {"threads": ""}}}, r"--sweep.reader.threads needs a value"),
    ],
)
@pytest.mark.usefixtures("typed")
def test_usage_errors(library: Library, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        library.run(**{"tags": "run,it", **given})


@pytest.mark.usefixtures("typed")
def test_a_wrong_secret_is_not_repeated(library: Library) -> None:
    with pytest.raises(UsageError, match=r"--password must be a whole number$") as caught:
        library.run("run,it", password="hunter22")
    assert "hunter22" not in caught.value.what


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing", "--config: there is no such file"),
        ("folder", "--config: this is a folder, not a file"),
        ("fifo", "--config: this is no ordinary file"),
        ("closed", "--config: cannot be read: Permission denied"),
        ("below a file", "--config: there is no such file"),
    ],
)
def test_a_file_that_cannot_be_used(
    library: Library, tmp_path: Path, kind: str, message: str
) -> None:
    path = tmp_path / "it.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind != "nothing":
        path.write_text("x")
    if kind == "closed":
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root reads everything")
    if kind == "below a file":
        path = path / "more.yaml"
    with pytest.raises(UserError, match=rf"{message}(.|\n)*{path}") as caught:
        library.run("run,it", config=str(path))
    assert caught.value.exit_code == 1


def test_limits_must_be_numbers(recipes: Recipes) -> None:
    folder = recipes.add("run-it", {"input_description": {"n": {"type": "int", "minimum": "one"}}})
    with pytest.raises(
        UserError, match=r"input_description\.n\.minimum: must be a number, not 'one'"
    ):
        parse_recipe(folder, "recipes")


def test_a_name_that_no_dependency_has(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", {"variations": {"fast": {}}})
    recipes.add("do-it", {"deps": [{"tags": "get,it", "names": ["getter"]}]})
    recipes.add("run-it", {"variations": {"on": {"deps": [{"tags": "do,it", "names": ["doer"]}]}}})
    library.run("run,it,_on", adr={"getter": {"tags": "_fast"}})
    library.run("run,it", adr={"getter": {"tags": "_fast"}})
    with pytest.raises(
        UsageError,
        match=r"--adr\.geter: no dep(.|\n)*did you mean getter\? Known names: doer, getter",
    ):
        library.run("run,it", adr={"geter": {"tags": "_fast"}})


def test_no_tags_explains_the_usage(library: Library) -> None:
    with pytest.raises(UsageError, match="usage: cm run script --tags="):
        library.run("")


def test_inputs_go_down_to_the_first_recipe_that_knows_them(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "get-it",
        {"input_mapping": {"n": "N", "m": "M"}, "new_env_keys": ["GOT"]},
        hooks="""
            def preprocess(i):
                i["env"]["GOT"] = [i["env"]["N"], i["env"]["M"]]
        """,
    )
    recipes.add(
        "do-it",
        {"input_mapping": {"n": "N"}, "deps": [{"tags": "get,it"}], "new_env_keys": ["GOT"]},
    )
    recipes.add("run-it", {"prehook_deps": [{"tags": "do,it"}], "new_env_keys": ["GOT"]})
    assert library.env("run,it", n="1", m="2") == {"GOT": ["1", "2"]}
    with pytest.raises(UsageError, match=r"--nn(.|\n)*Known inputs: --m, --n"):
        library.run("run,it", nn="1")


def test_inputs_of_recipes_behind_variations_are_known(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", {"input_mapping": {"n": "N"}, "variations": {"a": {}}})
    recipes.add("run-it", {"variations": {"on": {"deps": [{"tags": "get,it,_a.<<<X>>>"}]}}})
    assert library.run("run,it", n="1")["recipe"] == "run-it"


@pytest.mark.usefixtures("typed")
def test_the_help_shows_how_settings_are_given(library: Library) -> None:
    library.run("run,it", out="con", help=True)
    assert "--sweep.KEY=VALUE" in library.said()
