"""Which variations are on, and whose values win."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UserError
from cm4storage.scripting.metadata import Recipe, parse_recipe
from cm4storage.scripting.query import Query
from cm4storage.scripting.variations import resolve_variations

if TYPE_CHECKING:
    from recipe_books import Library, Recipes

VARIATIONS: dict[str, Any] = {
    "unet3d": {"group": "model", "default": True, "default_variations": {"scale": "quick"}},
    "resnet50": {"group": "model"},
    "custom": {"group": "model", "default_variations": {"scale": "stock"}, "base": ["checked"]},
    "quick": {"group": "scale"},
    "stock": {"group": "scale"},
    "checked": {"base": ["logged"]},
    "logged": {},
    "unet": {"alias": "unet3d"},
    "threads.#": {"env": {"THREADS": "#", "LABEL": "n=#"}},
    "threads.max": {"env": {"THREADS": "all"}},
    "based": {"base": ["threads.8"]},
    "resnet50,stock": {"env": {"COMBINED": "yes"}, "default_variations": {"loader": "dali"}},
    "dali": {"group": "loader"},
    "plain": {"group": "loader"},
}


@pytest.fixture
def recipe(recipes: Recipes) -> Recipe:
    return parse_recipe(recipes.add("run-it", {"variations": VARIATIONS}), "recipes")


def names(recipe: Recipe, tags: str) -> list[str]:
    query = Query.parse(tags)
    return list(resolve_variations(recipe, query.variations, query.without_variations).names)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", ["unet3d", "quick"]),
        ("_resnet50", ["resnet50"]),
        ("_resnet50,_stock", ["resnet50", "stock", "dali"]),
        ("_resnet50,_stock,_plain", ["resnet50", "stock", "plain"]),
        ("_custom", ["custom", "checked", "logged", "stock"]),
        ("_custom,_quick", ["custom", "checked", "logged", "quick"]),
        ("_stock", ["stock", "unet3d"]),
        ("_unet", ["unet", "unet3d", "quick"]),
        ("_unet,_unet3d", ["unet", "unet3d", "quick"]),
        ("-_unet3d", []),
        ("-_quick", ["unet3d"]),
        ("_-quick", ["unet3d"]),
        ("_threads.4", ["threads.4", "unet3d", "quick"]),
        ("_threads.a.b", ["threads.a.b", "unet3d", "quick"]),
        ("_based", ["based", "threads.8", "unet3d", "quick"]),
        ("_threads.2,_based", ["threads.2", "based", "unet3d", "quick"]),
    ],
)
def test_variations_that_are_on(recipe: Recipe, tags: str, expected: list[str]) -> None:
    assert names(recipe, tags) == expected


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("_resnet5", "has no variation _resnet5(.|\n)*did you mean _resnet50"),
        ("-_nosuch", "has no variation _nosuch"),
        ("_unet3d,_resnet50", "_resnet50 and _unet3d exclude each other"),
        ("_custom,-_checked", "_checked .brought by custom. is excluded"),
    ],
)
def test_variations_that_cannot_be(recipe: Recipe, tags: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        names(recipe, tags)


def test_a_dynamic_variation_fills_in_its_value(recipe: Recipe) -> None:
    layers = resolve_variations(recipe, ["threads.4"], []).layers
    assert layers[0].env == {"THREADS": "4", "LABEL": "n=4"}


def test_a_declared_name_goes_before_the_dynamic_one(recipe: Recipe) -> None:
    layers = resolve_variations(recipe, ["threads.max"], []).layers
    assert layers[0].env == {"THREADS": "all"}


def test_a_combination_adds_its_layer(recipe: Recipe) -> None:
    layers = resolve_variations(recipe, ["stock", "resnet50"], []).layers
    assert {"COMBINED": "yes"} in [layer.env for layer in layers]
    layers = resolve_variations(recipe, ["quick", "resnet50"], []).layers
    assert {"COMBINED": "yes"} not in [layer.env for layer in layers]


def test_combinations_can_be_declared_invalid(recipes: Recipes) -> None:
    metadata = {
        "variations": {"a": {}, "b": {}, "c": {}},
        "invalid_variation_combinations": [["a", "b"]],
        "valid_variation_combinations": [["a"], ["b"]],
    }
    recipe = parse_recipe(recipes.add("run-it", metadata), "recipes")
    assert names(recipe, "_a,_c") == ["a", "c"]
    with pytest.raises(UserError, match="_a, _b cannot be used together"):
        names(recipe, "_a,_b")
    with pytest.raises(UserError, match="_c is no valid combination"):
        names(recipe, "_c")


def test_a_default_for_a_group_that_is_not_there_names_the_file(recipes: Recipes) -> None:
    metadata = {"variations": {"a": {"default_variations": {"nogroup": "b"}}}}
    recipe = parse_recipe(recipes.add("run-it", metadata), "recipes")
    with pytest.raises(UserError, match=r"no variation group 'nogroup'(.|\n)*run-it/_cm.yaml"):
        names(recipe, "_a")


UNLESS: dict[str, Any] = {
    "input_mapping": {"config": "CONFIG"},
    "default_env": {},
    "new_env_keys": ["MODEL"],
    "variations": {
        "unet3d": {
            "group": "model",
            "default": True,
            "default_unless_env": ["CONFIG", "OTHER"],
            "env": {"MODEL": "unet3d"},
        },
        "bert": {"group": "model", "env": {"MODEL": "bert"}},
        "file": {"group": "backend", "default": True},
    },
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "_unet3d,_file"),
        ({"config": "x"}, "_file"),
        ({"env": {"CONFIG": "x"}}, "_file"),
        ({"const": {"CONFIG": "x"}}, "_file"),
        ({"env": {"OTHER": "x"}}, "_file"),
        ({"env": {"CONFIG": ""}}, "_unet3d,_file"),
        ({"env": {"CONFIGS": "x"}}, "_unet3d,_file"),
        ({"config": "x", "tags": "do,it,_unet3d"}, "_unet3d,_file"),
        ({"config": "x", "tags": "do,it,_bert"}, "_bert,_file"),
    ],
)
@pytest.mark.parametrize("verb", ["do", "run"])
def test_a_default_that_a_variable_of_the_call_overrules(
    recipes: Recipes, library: Library, given: dict[str, Any], expected: str, verb: str
) -> None:
    recipes.add("do-it", UNLESS)
    recipes.add("run-it", {**UNLESS, "deps": [{"tags": "do,it", "inherit_variation_tags": True}]})
    tags = given.get("tags", "do,it").replace("do", verb)
    library.run(**{**given, "tags": tags})
    lines = library.said().splitlines()
    assert [f"do-it {expected}" in line for line in lines if "do-it" in line] == [True]
    if verb == "run":
        assert any(f"run-it {expected}" in line for line in lines)


def test_help_says_when_a_default_is_none(recipes: Recipes, library: Library) -> None:
    recipes.add("do-it", UNLESS)
    library.run("do,it", help=True)
    assert "(default, unless --config or --env.OTHER is given)" in library.said()
