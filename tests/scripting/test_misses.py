"""What is said about a new entry of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from recipe_books import CACHED, WRITE

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import Library, Recipes


@pytest.fixture
def cached(recipes: Recipes) -> Path:
    return recipes.add("get-data", CACHED, hooks=WRITE)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"size": "2"}, "SIZE changed '1' -> '2'"),
        ({"env": {"MODE": ""}}, "MODE changed 'plain' -> ''"),
        ({"where": "/x"}, "WHERE changed unset -> '/x'"),
        ({"tags": "get,data,_loud"}, "variations changed _small -> _loud,_small"),
        ({"version": "2"}, "CM_VERSION changed unset -> '2'"),
        (
            {"size": "2", "env": {"MODE": "m"}},
            "MODE changed 'plain' -> 'm'; SIZE changed '1' -> '2'",
        ),
    ],
)
@pytest.mark.usefixtures("cached")
def test_a_miss_says_why(library: Library, given: dict[str, Any], reason: str) -> None:
    assert library.decision("get,data") == "miss: first run"
    given = dict(given)
    assert library.decision(given.pop("tags", "get,data"), **given) == f"miss: {reason}"


@pytest.mark.usefixtures("cached")
def test_a_miss_is_explained_against_the_most_similar_entry(library: Library) -> None:
    library.run("get,data,_large", size="7")
    library.run("get,data", size="5")
    assert library.decision("get,data,_large", size="8") == "miss: SIZE changed '7' -> '8'"


LONG = ", ".join(f"file{n}" for n in range(60))


@pytest.mark.parametrize(
    ("first", "second", "old", "new"),
    [
        (
            LONG,
            LONG.replace("file30", "other"),
            "...28, file29, file30, file31, file32, ...",
            "...28, file29, other, file31, file32, f...",
        ),
        (LONG, f"{LONG}, end", "...le58, file59", "...le58, file59, end"),
        (LONG, "1", "file0, file1, file2, file3, file4, f...", "1"),
    ],
)
@pytest.mark.usefixtures("cached")
def test_long_values_are_cut_around_their_difference(
    library: Library, first: str, second: str, old: str, new: str
) -> None:
    library.run("get,data", size=first)
    assert library.decision("get,data", size=second) == f"miss: SIZE changed {old!r} -> {new!r}"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"adr": {"helper": {"tags": "_loud"}}}, "tags of helper changed 'help,it' -> 'help,it,_"),
        ({"adr": {"deep": {"tags": "_x"}}}, "--adr.deep changed"),
        ({"word": "hello"}, "WORD changed unset -> 'hello'"),
        ({"n": "1"}, "--n changed unset -> '1'"),
    ],
)
def test_what_later_recipes_get_is_named(
    recipes: Recipes, library: Library, given: dict[str, Any], reason: str
) -> None:
    recipes.add("dig-it", {"default_env": {}, "variations": {"x": {}}})
    recipes.add(
        "help-it",
        {
            "input_mapping": {"n": "N"},
            "variations": {"loud": {}},
            "deps": [{"tags": "dig,it", "names": ["deep"]}],
        },
    )
    recipes.add(
        "get-it",
        {
            "cache": True,
            "input_mapping": {"word": "WORD"},
            "post_deps": [{"tags": "help,it", "names": ["helper"]}],
        },
    )
    library.run("get,it")
    assert reason in library.decision("get,it", **given)


@pytest.mark.usefixtures("cached")
def test_a_file_has_one_change(library: Library, tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(text)

    def decision(name: str) -> str:
        return library.decision("get,data", config=str(tmp_path / name))

    library.run("get,data")
    assert decision("a") == "miss: CONFIG changed unset -> 'a'"
    for entry in library.surroundings.cache.folder.glob("*/cm-cached-state.json"):
        if '"sha256"' not in entry.read_text():
            entry.unlink()
    assert decision("b") == "miss: CONFIG changed 'a' -> 'b'"
    assert decision("c") == "miss: content of CONFIG changed"


def test_an_input_that_several_recipes_get_is_named_once(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("get-data", CACHED, hooks=WRITE)
    recipes.add(
        "use-data",
        {
            "cache": True,
            "input_mapping": {"size": "SIZE", "other": "OTHER"},
            "deps": [{"tags": "get,data"}],
        },
    )
    library.run("use,data", size="2")
    assert library.decision("use,data", size="3") == "miss: SIZE changed '2' -> '3'"
