"""What reaches a recipe, its dependencies and its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UserError
from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import exported, merge
from cm4storage.scripting.metadata import Conditions

if TYPE_CHECKING:
    from recipe_books import Library, Recipes

ECHO_ALL = """
    def preprocess(i):
        i["env"]["SEEN"] = i["env"].get("X", "unset")
        return {"return": 0}
"""


@pytest.mark.parametrize(
    ("metadata", "given", "expected"),
    [
        ({}, {}, "unset"),
        ({"default_env": {"X": "default"}}, {}, "default"),
        ({"default_env": {"X": "default"}}, {"env": {"X": "cli"}}, "cli"),
        ({"env": {"X": "meta"}}, {"env": {"X": "cli"}}, "meta"),
        ({"env": {"X": "meta"}, "on": {"env": {"X": "variation"}}}, {}, "variation"),
        ({"default_env": {"X": "default"}, "on": {"default_env": {"X": "v"}}}, {}, "default"),
        ({"on": {"default_env": {"X": "v"}}}, {"env": {"X": "cli"}}, "cli"),
        ({"on": {"env": {"X": "variation"}}}, {"x": "input"}, "input"),
        ({"on": {"env": {"X": "variation"}}}, {"const": {"X": "const"}}, "const"),
        ({"env": {"X": "<<<Y>>>/z", "Y": "y"}}, {}, "y/z"),
        ({"env": {"X": "<<<NOT_THERE>>>"}}, {}, "<<<NOT_THERE>>>"),
        ({"const": {"X": "c"}, "on": {"env": {"X": "variation"}}}, {}, "c"),
    ],
)
def test_precedence(
    recipes: Recipes,
    library: Library,
    metadata: dict[str, Any],
    given: dict[str, Any],
    expected: str,
) -> None:
    metadata = dict(metadata)
    variation = metadata.pop("on", {})
    recipes.add(
        "run-it",
        {
            "input_mapping": {"x": "X"},
            "new_env_keys": ["SEEN"],
            "variations": {"on": variation},
            **metadata,
        },
        hooks=ECHO_ALL,
    )
    tags = "run,it,_on" if variation else "run,it"
    assert library.env(tags, **given).get("SEEN") == (
        None if expected.startswith("<<<") else expected
    )


def test_the_host_does_not_enter_except_proxies(
    recipes: Recipes, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes.add("run-it", {"new_env_keys": ["HOST_*", "http_proxy"]})
    monkeypatch.setenv("HOST_ONLY", "1")
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    assert library.env("run,it") == {"http_proxy": "http://proxy:1"}


def test_only_declared_keys_reach_the_parent(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "get-it",
        {"new_env_keys": ["OUT_*", "NAME", "<<<NAME>>>", "CM_TMP_X"], "new_state_keys": ["s?"]},
        hooks="""
            def preprocess(i):
                i["env"].update(OUT_A="1", OUT_B="2", OTHER="3", CM_TMP_X="4")
                i["env"].update(NAME="NAMED", NAMED="5")
                i["state"].update(s1={"a": [1]}, other=2)
        """,
    )
    result = library.run("get,it")
    # A variable that is local on its way down is put out where the recipe names it.
    own = {"OUT_A": "1", "OUT_B": "2", "NAME": "NAMED", "NAMED": "5"}
    assert result["new_env"] == {**own, "CM_TMP_X": "4"}
    assert result["new_state"] == {"s1": {"a": [1]}}


def test_dependencies_see_the_parent_but_not_its_local_keys(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "get-it",
        {"new_env_keys": ["SEEN"]},
        hooks="""
            def preprocess(i):
                keys = ("SHARED", "CM_VERSION", "CM_TMP_A", "MINE", "OWN", "LATER", "FORCED")
                i["env"]["SEEN"] = [k for k in keys if k in i["env"]]
        """,
    )
    recipes.add(
        "run-it",
        {
            "env": {
                "SHARED": "1",
                "CM_TMP_A": "2",
                "MINE": "3",
                "LATER": "<<<UNKNOWN>>>",
                "FORCED": "4",
            },
            "default_version": "1.0",
            "local_env_keys": ["MINE", "FORCED"],
            "deps": [{"tags": "get,it", "env": {"OWN": "1"}, "force_env_keys": ["FORCED"]}],
            "new_env_keys": ["SEEN", "OWN"],
        },
    )
    assert library.env("run,it") == {"SEEN": ["SHARED", "OWN", "FORCED"]}


def test_what_customize_makes_of_an_input_is_what_counts(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("get-it", {"env": {"X": "dep"}, "new_env_keys": ["SEEN"]}, hooks=ECHO_ALL)
    recipes.add(
        "run-it",
        {
            "input_mapping": {"x": "X"},
            "prehook_deps": [{"tags": "get,it"}],
            "new_env_keys": ["SEEN", "X"],
        },
        hooks="""
            def preprocess(i):
                i["env"]["X"] = i["env"]["X"].upper()
        """,
    )
    assert library.env("run,it", x="word") == {"SEEN": "WORD", "X": "WORD"}


@pytest.mark.parametrize(
    ("key", "value", "env", "expected"),
    [
        ("enable_if_env", {"A": ["x", "y"]}, {"A": "y"}, True),
        ("enable_if_env", {"A": ["x"]}, {"A": "z"}, False),
        ("enable_if_env", {"A": ["x"]}, {}, False),
        ("enable_if_env", {"A": [True]}, {"A": "anything"}, True),
        ("enable_if_env", {"A": [True]}, {"A": "off"}, False),
        ("enable_if_env", {"A": ["no"]}, {}, True),
        ("enable_if_env", {"A": ["x"], "B": ["y"]}, {"A": "x"}, False),
        ("enable_if_env", {}, {}, True),
        ("enable_if_any_env", {"A": ["x"], "B": ["y"]}, {"A": "x"}, True),
        ("skip_if_env", {"A": ["x"]}, {"A": "X"}, False),
        ("skip_if_env", {"A": ["x"], "B": ["y"]}, {"A": "x"}, True),
        ("skip_if_any_env", {"A": ["x"], "B": ["y"]}, {"A": "x"}, False),
        ("skip_if_env", {"A": ["no"]}, {}, False),
    ],
)
def test_conditions(
    recipes: Recipes,
    library: Library,
    key: str,
    value: dict[str, list[Any]],
    env: dict[str, str],
    expected: bool,
) -> None:
    recipes.add("get-it", {"env": {"RAN": "1"}, "new_env_keys": ["RAN"]})
    recipes.add("run-it", {"deps": [{"tags": "get,it", key: value}], "new_env_keys": ["RAN"]})
    assert ("RAN" in library.env("run,it", env=env)) == expected


def test_no_condition_takes_part() -> None:
    assert takes_part(Conditions(), {})


def test_lists_stand_before_what_is_there() -> None:
    env = {"+PATH": ["/a", "/b"], "PATH": "/own", "+ FLAGS": ["-x", "-y"], "N": 4, "B": True}
    assert exported(env, {"PATH": "/host", "HOME": "/h"}) == {
        "PATH": "/a:/b:/own",
        "HOME": "/h",
        " FLAGS".strip(): "-x -y",
        "N": "4",
        "B": "True",
    }


@pytest.mark.parametrize("env", [{"A": "x\0y"}, {"A=B": "x"}, {"+PATH": "text"}])
def test_what_no_process_can_get_is_refused(env: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"cannot be exported|must be a list"):
        exported(env, {})


def test_merging_grows_lists_and_merges_mappings() -> None:
    target = {"l": [1, 2], "m": {"a": 1, "l": [1]}, "s": "old"}
    merge(target, {"l": [2, 3], "m": {"b": 2, "l": [2]}, "s": "new"})
    assert target == {"l": [1, 2, 3], "m": {"a": 1, "l": [1, 2], "b": 2}, "s": "new"}


def test_state_of_a_dependency_is_not_shared_with_its_repetition(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "get-it",
        {"run_once": True, "default_env": {}, "new_state_keys": ["s"]},
        hooks="""
            def preprocess(i):
                i["state"]["s"] = {"list": ["dep"]}
        """,
    )
    recipes.add(
        "run-it",
        {
            "deps": [{"tags": "get,it"}],
            "prehook_deps": [{"tags": "get,it", "names": ["again"]}],
            "new_state_keys": ["s"],
        },
        hooks="""
            def preprocess(i):
                i["state"]["s"]["list"].append("mine")
        """,
    )
    recipes.add(
        "run-both",
        {"deps": [{"tags": "run,it"}], "post_deps": [{"tags": "get,it"}], "new_state_keys": ["s"]},
    )
    assert library.run("run,it")["new_state"]["s"]["list"] == ["dep", "mine"]
    library.said()
    library.run("run,both")
    assert library.said().count("reused") == 2


def test_tags_of_a_dependency_from_the_environment(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "get-it",
        {
            "new_env_keys": ["V"],
            "variations": {
                "n.#": {"env": {"V": "n#"}},
                "fast": {"env": {"V": "fast"}},
                "slow": {"group": "g"},
            },
        },
    )
    dep = {"tags": "get,it", "names": ["it"]}
    recipes.add(
        "run-it",
        {
            "new_env_keys": ["V"],
            "variations": {
                "prefix": {
                    "add_deps": {},
                    "deps": [{**dep, "update_tags_from_env_with_prefix": {"_n.": ["COUNT"]}}],
                },
                "tags": {"deps": [{**dep, "update_tags_from_env": ["TAGS"]}]},
                "text": {"deps": [{**dep, "tags": "get,it,_n.<<<COUNT>>>"}]},
                "fast": {"deps": [{**dep, "inherit_variation_tags": True}]},
                "named": {"deps": [dep], "ad": {"it": {"tags": "_fast"}}},
                "recursive": {"deps": [dep], "adr": {"it": {"tags": "_fast"}}},
                "env": {
                    "deps": [{**dep, "tags": "get,it,_n.1"}],
                    "adr": {"it": {"tags": "-_n.1,_fast"}},
                },
            },
        },
    )
    env = {"COUNT": "3", "TAGS": "_fast"}
    found = {
        v: library.env(f"run,it,_{v}", env=env)["V"]
        for v in ("prefix", "tags", "text", "fast", "named", "recursive", "env")
    }
    assert found == {
        "prefix": "n3",
        "tags": "fast",
        "text": "n3",
        "fast": "fast",
        "named": "fast",
        "recursive": "fast",
        "env": "fast",
    }


def test_adr_reaches_every_depth_and_ad_only_the_first(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "get-it",
        {
            "variations": {"fast": {"env": {"V": "fast"}}},
            "env": {"V": "slow"},
            "new_env_keys": ["V"],
        },
    )
    recipes.add("do-it", {"deps": [{"tags": "get,it", "names": ["it"]}], "new_env_keys": ["V"]})
    recipes.add("run-it", {"deps": [{"tags": "do,it", "names": ["do"]}], "new_env_keys": ["V"]})
    assert library.env("run,it")["V"] == "slow"
    assert library.env("run,it", adr={"it": {"tags": "_fast"}})["V"] == "fast"
    assert library.env("do,it", ad={"it": {"tags": "_fast"}})["V"] == "fast"
    with pytest.raises(UserError, match=r"--ad\.it: run-it has no dependency of that name"):
        library.run("run,it", ad={"it": {"tags": "_fast"}})


def test_versions(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "get-it",
        {
            "default_version": "1.0",
            "versions": {"2.0": {"env": {"URL": "two"}}},
            "env": {"URL": "any"},
            "new_env_keys": ["URL", "GOT"],
        },
        hooks="""
            def preprocess(i):
                i["env"]["GOT"] = i["env"]["CM_VERSION"]
        """,
    )
    recipes.add(
        "run-it", {"deps": [{"tags": "get,it", "version": "2.0"}], "new_env_keys": ["URL", "GOT"]}
    )
    assert library.env("get,it") == {"URL": "any", "GOT": "1.0"}
    assert library.env("get,it", version="2.0") == {"URL": "two", "GOT": "2.0"}
    assert library.env("run,it") == {"URL": "two", "GOT": "2.0"}
