"""Versions: how they compare, which one is asked for, and what is found against the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UserError
from cm4storage.scripting.toolbox.versions import VersionLimits, compare_versions

if TYPE_CHECKING:
    from recipe_books import Library, Recipes

ORDERED = ["0.9", "1.0rc1", "1.0", "1.0.1", "1.2", "1.10", "2", "10.0.0", "2024.1"]

SHOW = """
    def preprocess(i):
        env = i["env"]
        env["ASKED"] = env.get("CM_VERSION", "none")
        env["PIP"] = env["CM_TMP_PIP_VERSION_STRING"]
"""


@pytest.mark.parametrize("place", range(len(ORDERED) - 1))
def test_versions_are_ordered(place: int) -> None:
    assert compare_versions(ORDERED[place], ORDERED[place + 1]) == -1
    assert compare_versions(ORDERED[place + 1], ORDERED[place]) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1"), ("1.0", "1.0.0"), ("v1.2", "1.2"), ("1.RC1", "1.rc1")]
)
def test_versions_that_are_the_same(one: str, other: str) -> None:
    assert compare_versions(one, other) == 0


def test_limits_are_written_for_people() -> None:
    assert str(VersionLimits("", "3.8", "3.12")) == ">= 3.8, <= 3.12"
    assert str(VersionLimits("1")) == "== 1"


@pytest.mark.parametrize(
    ("flags", "asked", "pip"),
    [
        ({}, "2.0", "==2.0"),
        ({"version": "1.5"}, "1.5", "==1.5"),
        ({"version_min": "2.5"}, "2.5", "==2.5"),
        ({"version_max": "1.5"}, "1.5", "==1.5"),
        ({"version_max": "1.5", "version_max_usable": "1.4"}, "1.4", "==1.4"),
        ({"version_min": "1.0", "version_max": "3.0"}, "2.0", "==2.0"),
        ({"env": {"CM_VERSION": "9"}}, "9", "==9"),
    ],
)
def test_the_version_that_is_asked_for(
    recipes: Recipes, library: Library, flags: dict[str, Any], asked: str, pip: str
) -> None:
    meta = {"default_version": "2.0", "new_env_keys": ["ASKED", "PIP"]}
    recipes.add("get-it", meta, hooks=SHOW)
    assert library.env("get,it", **flags) == {"ASKED": asked, "PIP": pip}


@pytest.mark.parametrize(
    ("flags", "pip"),
    [
        ({}, ""),
        ({"version_min": "1.0"}, ">=1.0"),
        ({"version_max": "2.0"}, "<=2.0"),
        ({"version_min": "1.0", "version_max": "2.0"}, ">=1.0,<=2.0"),
    ],
)
def test_limits_as_pip_writes_them(
    recipes: Recipes, library: Library, flags: dict[str, str], pip: str
) -> None:
    recipes.add("get-it", {"new_env_keys": ["ASKED", "PIP"]}, hooks=SHOW)
    assert library.env("get,it", **flags) == {"ASKED": "none", "PIP": pip}


def test_the_limits_of_a_dependency_reach_it(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", {"new_env_keys": ["ASKED", "PIP"]}, hooks=SHOW)
    dep = {"tags": "get,it", "version_min": "1.0", "version_max": "2.0", "names": ["it"]}
    recipes.add("run-it", {"deps": [dep], "new_env_keys": ["ASKED", "PIP"]})
    assert library.env("run,it")["PIP"] == ">=1.0,<=2.0"
    assert library.env("run,it", adr={"it": {"version_max": "1.9"}})["PIP"] == ">=1.0,<=1.9"
    assert library.env("run,it", adr={"it": {"version": "1.1"}})["ASKED"] == "1.1"


def test_what_is_found_outside_of_the_limits_is_an_error(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "get-it",
        {"cache": True},
        hooks='def postprocess(i): i["env"]["CM_DETECTED_VERSION"] = "1.9"',
    )
    library.run("get,it", version_min="1.2")
    with pytest.raises(UserError, match=r"get-it: version 1\.9 was found, >= 1\.10 is needed"):
        library.run("get,it", version_min="1.10")
    with pytest.raises(UserError, match=r"version 1\.9 was found, <= 1\.8 is needed"):
        library.run("get,it", version_max="1.8")
    assert len(library.entries()) == 1


def test_env_that_depends_on_env_is_set_while_its_conditions_hold(
    recipes: Recipes, library: Library
) -> None:
    rules = [
        {"enable_if_env": {"MODE": ["fast"]}, "env": {"LEVEL": "3"}},
        {"skip_if_env": {"MODE": ["fast"]}, "env": {"LEVEL": "1"}, "state": {"slow": True}},
    ]
    recipes.add(
        "get-it",
        {
            "default_env": {"MODE": "slow"},
            "variations": {"v": {"update_meta_if_env": rules}},
            "new_env_keys": ["LEVEL"],
            "new_state_keys": ["slow"],
        },
    )
    assert library.env("get,it,_v", env={"MODE": "fast"}) == {"LEVEL": "3"}
    result = library.run("get,it,_v")
    assert (result["new_env"], result["new_state"]) == ({"LEVEL": "1"}, {"slow": True})
    assert library.env("get,it") == {}
