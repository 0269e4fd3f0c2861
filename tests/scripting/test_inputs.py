"""--inputs: types, relative paths, and those that nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UsageError, UserError

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
            },
            "input_description": {
                "max_steps": {"type": "int", "desc": "how many steps"},
                "rate": {"type": "float"},
                "fast": {"type": "flag"},
                "mode": {"type": "string", "choices": ["read", "write"]},
                "data_dir": {"type": "path"},
                "config": {"type": "file"},
                "any": "described by a text only",
                "password": {"type": "int"},
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
        ({"data_dir": ""}, ""),
        ({"any": True}, True),
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
def test_a_file_that_is_not_there(library: Library) -> None:
    with pytest.raises(UserError, match=r"--config: there is no such file(.|\n)*/nosuch\.yaml"):
        library.run("run,it", config="/nosuch.yaml")


def test_no_tags_explains_the_usage(library: Library) -> None:
    with pytest.raises(UsageError, match="usage: cm run script --tags="):
        library.run("")


def test_inputs_go_down_to_the_first_recipe_that_knows_them(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("get-it", {"input_mapping": {"n": "N", "m": "M"}, "new_env_keys": ["N", "M"]})
    recipes.add(
        "do-it",
        {"input_mapping": {"n": "N"}, "deps": [{"tags": "get,it"}], "new_env_keys": ["N", "M"]},
    )
    recipes.add("run-it", {"prehook_deps": [{"tags": "do,it"}], "new_env_keys": ["N", "M"]})
    assert library.env("run,it", n="1", m="2") == {"N": "1", "M": "2"}
    with pytest.raises(UsageError, match=r"--nn(.|\n)*Known inputs: --m, --n"):
        library.run("run,it", nn="1")


def test_inputs_of_recipes_behind_variations_are_known(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", {"input_mapping": {"n": "N"}, "variations": {"a": {}}})
    recipes.add("run-it", {"variations": {"on": {"deps": [{"tags": "get,it,_a.<<<X>>>"}]}}})
    library.run("run,it", n="1")
