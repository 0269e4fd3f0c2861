"""What a recipe can see is what its key covers: nothing of the host's, nothing older."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core.errors import UsageError, UserError
from cm4storage.scripting.environment import COMMAND_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM, Library, Recipes

SCALED: dict[str, Any] = {
    "cache": True,
    "input_mapping": {"config": "MY_CONFIG"},
    "new_env_keys": ["MY_RESULT"],
    "variations": {"quick": {"group": "scale", "env": {"MY_SCALE": "quick"}}},
}
SCALE_SEEN = 'echo "MY_RESULT=${MY_SCALE:-none}" > tmp-run-env.out'


def test_a_variable_of_the_host_does_not_poison_the_cache(
    recipes: Recipes, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes.add("get-it", SCALED, run=SCALE_SEEN)
    monkeypatch.setenv("MY_SCALE", "stock")
    assert library.env("get,it") == {"MY_RESULT": "none"}
    assert os.environ["MY_SCALE"] == "stock"
    monkeypatch.delenv("MY_SCALE")
    assert library.decision("get,it").startswith("hit: ")
    assert library.env("get,it") == {"MY_RESULT": "none"}


@pytest.mark.parametrize("name", ["IN_ENV", "IN_DEFAULT", "IN_CONST", "IN_INPUT", "OUT_1"])
@pytest.mark.parametrize("owner", ["the recipe", "a dependency", "a variation", "a version"])
def test_hooks_and_processes_do_not_see_what_recipes_know_as_theirs(
    recipes: Recipes,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    owner: str,
) -> None:
    names = {
        "env": {"IN_ENV": "<<<NOT_SET>>>"},
        "default_env": {"IN_DEFAULT": "<<<NOT_SET>>>"},
        "const": {"IN_CONST": "<<<NOT_SET>>>"},
        "input_mapping": {"n": "IN_INPUT"},
        "new_env_keys": ["OUT_*"],
    }
    known = "OUT_*" if name == "OUT_1" else name
    only = {key: value for key, value in names.items() if known in str(value)}
    recipes.add("get-other", only if owner == "a dependency" else {})
    recipes.add(
        "run-it",
        {
            "deps": [{"tags": "get,other", "enable_if_env": {"NEVER": ["set"]}}],
            "variations": {"on": only if owner == "a variation" else {}},
            "versions": {"2.0": only if owner == "a version" else {}},
            "new_env_keys": ["SEEN", "HOOK_SAW"],
        },
        run=f'echo "SEEN=${{{name}:-nothing}}" > tmp-run-env.out',
        hooks=f"""
            import os
            def preprocess(i):
                i["env"]["HOOK_SAW"] = os.environ.get({name!r}, "nothing")
                i["env"].pop({name!r}, None)
        """,
    )
    if owner == "the recipe":
        recipes.add("run-it", {**only, "new_env_keys": ["SEEN", "HOOK_SAW", "OUT_*"]})
    monkeypatch.setenv(name, "the host's")
    monkeypatch.setenv("UNRELATED", "x")
    assert library.env("run,it") == {"SEEN": "nothing", "HOOK_SAW": "nothing"}
    assert os.environ[name] == "the host's"


def test_what_a_shell_and_cmind_need_stays(
    recipes: Recipes, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes.add(
        "run-it",
        {"new_env_keys": ["*", "CM_*", "HOME", "PATH", "SEEN"], "env": {"OWN": "1"}},
        run='echo "SEEN=$CM_REPOS:$HOME:$CM_OTHER:$UNRELATED" > tmp-run-env.out',
    )
    for name, value in {
        "CM_REPOS": "/r",
        "HOME": "/h",
        "CM_OTHER": "other",
        "UNRELATED": "u",
    }.items():
        monkeypatch.setenv(name, value)
    assert library.env("run,it")["SEEN"] == "/r:/h::u"


def test_a_value_that_the_run_sets_reaches_run_sh_in_spite_of_the_host(
    recipes: Recipes, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes.add("get-it", SCALED, run=SCALE_SEEN)
    monkeypatch.setenv("MY_SCALE", "stock")
    assert library.env("get,it,_quick") == {"MY_RESULT": "quick"}


def test_names_of_inactive_variations_count(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", SCALED, run=SCALE_SEEN)
    assert library.env("get,it", env={"MY_SCALE": "stock"}) == {"MY_RESULT": "stock"}
    assert library.env("get,it") == {"MY_RESULT": "none"}


# Variables that stand for inputs


@pytest.fixture
def mapped(recipes: Recipes) -> None:
    recipes.add(
        "do-it",
        {
            "input_mapping": {"data_dir": "DATA", "config": "CONFIG", "steps": "STEPS"},
            "input_description": {
                "data_dir": {"type": "path"},
                "config": {"type": "file"},
                "steps": {"type": "int", "minimum": 1},
            },
            "new_env_keys": ["DATA", "CONFIG", "STEPS"],
        },
    )
    recipes.add("run-it", {"deps": [{"tags": "do,it"}], "new_env_keys": ["DATA", "CONFIG"]})


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("tags", ["do,it", "run,it"])
@pytest.mark.parametrize("kind", ["env", "const"])
def test_a_variable_of_the_call_is_treated_as_the_input(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text("x")
    given = {"DATA": "rel/x", "CONFIG": "w.yaml"}
    assert library.env(tags, **{kind: given}) == {
        "DATA": str(tmp_path / "rel" / "x"),
        "CONFIG": str(tmp_path / "w.yaml"),
    }
    assert library.env(tags, **{kind: {"DATA": ""}}) == {"DATA": ""}


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("tags", ["do,it", "run,it"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"env": {"STEPS": "x"}}, UsageError, "--env.STEPS must be a whole number, not 'x'"),
        ({"const": {"STEPS": "0"}}, UsageError, "--const.STEPS must be at least 1, not 0"),
        ({"env": {"DATA": True}}, UsageError, "--env.DATA needs a value"),
        ({"env": {"CONFIG": "/nosuch"}}, UserError, "--env.CONFIG: there is no such file"),
    ],
)
def test_a_wrong_variable_of_the_call(
    library: Library, tags: str, given: dict[str, Any], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message):
        library.run(tags, **given)


# Outputs are newer than inputs


def test_an_input_cannot_stand_for_what_the_run_makes(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "make-it",
        {"new_env_keys": ["RUN_DIR"]},
        hooks="""
            def preprocess(i):
                i["env"]["RUN_DIR"] = "new"
        """,
    )
    recipes.add(
        "report-it",
        {"input_mapping": {"run_dir": "RUN_DIR"}, "new_env_keys": ["SAID"]},
        hooks="""
            def preprocess(i):
                i["env"]["SAID"] = i["env"]["RUN_DIR"]
        """,
    )
    deps = {"deps": [{"tags": "make,it"}], "post_deps": [{"tags": "report,it"}]}
    recipes.add("run-it", {**deps, "new_env_keys": ["RUN_DIR", "SAID"]})
    recipes.add("all-it", {**deps, "new_env_keys": ["SAID"]})
    assert library.env("report,it", run_dir="old") == {"SAID": "old"}
    with pytest.raises(UsageError, match="no recipe of this run knows the input --run_dir"):
        library.run("run,it", run_dir="old")
    assert library.env("run,it") == {"RUN_DIR": "new", "SAID": "new"}
    assert library.env("all,it", run_dir="old") == {"SAID": "new"}


def test_an_input_that_the_recipe_maps_itself_wins(recipes: Recipes, library: Library) -> None:
    recipes.add("make-it", {"env": {"X": "made"}, "new_env_keys": ["X"]})
    recipes.add("run-it", {"input_mapping": {"x": "X"}, "deps": [{"tags": "make,it"}]})
    recipes.add(
        "run-it",
        {"input_mapping": {"x": "X"}, "deps": [{"tags": "make,it"}], "new_env_keys": ["X"]},
    )
    assert library.env("run,it", x="asked") == {"X": "asked"}
    assert library.env("run,it") == {"X": "made"}


# Recipes that a hit skips


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"env": {"FLAVOUR": "sweet"}}),
        ({}, {"flavour": "sweet"}),
        ({}, {"adr": {"helper": {"tags": "_loud"}}}),
        ({}, {"ad": {"helper": {"tags": "_loud"}}}),
        ({}, {"adr": {"helper": {"version": "2"}}}),
        ({}, {"adr": {"helper": {"env": {"ANY": "1"}}}}),
        ({}, {"adr": {"deep": {"tags": "_deep"}}}),
        ({}, {"env": {"ASKED_FOR": "yes"}}),
        ({}, {"env": {"MORE_TAGS": "_loud"}}),
    ],
)
def test_what_later_recipes_get_counts(
    recipes: Recipes, library: Library, first: dict[str, Any], second: dict[str, Any]
) -> None:
    recipes.add("dig-it", {"default_env": {}, "variations": {"deep": {"env": {"DEPTH": "deep"}}}})
    recipes.add(
        "help-it",
        {
            "input_mapping": {"flavour": "FLAVOUR"},
            "variations": {"loud": {"env": {"LOUD": "1"}}},
            "deps": [{"tags": "dig,it", "names": ["deep"]}],
        },
    )
    recipes.add(
        "get-it",
        {
            "cache": True,
            "default_env": {},
            "prehook_deps": [{"tags": "help,it", "names": ["helper"]}],
            "post_deps": [
                {
                    "tags": "help,it",
                    "names": ["more"],
                    "enable_if_env": {"ASKED_FOR": ["yes"]},
                    "update_tags_from_env": ["MORE_TAGS"],
                }
            ],
        },
    )
    for given in (first, second):
        assert library.decision("get,it", **given).startswith("miss: ")
        assert library.decision("get,it", **given).startswith("hit: ")
    assert library.decision("get,it", env={"UNRELATED": "1"}).startswith("hit: ")


def test_a_later_recipe_without_declared_inputs_gets_everything(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("help-it")
    recipes.add(
        "get-it", {"cache": True, "default_env": {}, "posthook_deps": [{"tags": "help,it"}]}
    )
    library.run("get,it")
    assert library.decision("get,it", env={"ANY": "1"}) == "miss: ANY changed unset -> '1'"
    assert library.decision("get,it", env={"ANY": "1"}).startswith("hit: ")


def test_a_later_recipe_that_nobody_knows_before_keeps_a_result_out_of_the_cache(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("help-it", {"default_env": {}})
    recipes.add(
        "get-it",
        {"cache": True, "default_env": {}, "posthook_deps": [{"tags": "<<<VERB>>>,<<<NOUN>>>"}]},
        hooks="""
            def preprocess(i):
                i["env"].update(VERB="help", NOUN="it")
        """,
    )
    assert "not cached: which recipes it runs later" in library.decision("get,it")
    assert not library.entries()


def test_a_secret_for_a_later_recipe_keeps_a_result_out_of_the_cache(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("help-it", {"input_mapping": {"secret_key": "SECRET_KEY"}})
    recipes.add("get-it", {"cache": True, "default_env": {}, "post_deps": [{"tags": "help,it"}]})
    assert "a secret takes part" in library.decision("get,it", secret_key="hunter22")
    assert library.decision("get,it").startswith("miss: ")


def test_how_the_user_calls_cm_is_in_no_key_and_no_environment(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "get-it",
        {"cache": True, "default_env": {"N": "0"}, "input_mapping": {"n": "N"}},
        run="""
            if [ "$N" = 2 ]; then exit 4; fi
            if env | grep -q MLPERF_STORAGE_CM_COMMAND; then exit 5; fi
        """,
    )
    assert cm.script("get,it").returncode == 0
    cm.environment[COMMAND_VARIABLE] = "./bootstrap cm"
    done = cm.script("get,it", "--print_deps")
    assert "hit: " in done.stdout
    assert "\n./bootstrap cm run script --tags=get,it\n" in done.stdout
    failed = cm.script("get,it", "--n=2")
    assert failed.returncode == 4
    assert "./bootstrap cm run script --tags=get,it --n=2\n" in failed.stderr
    assert cm.script("get,it", "--renew").returncode == 0


def test_a_hidden_variable_is_named_once(cm: CM, recipes: Recipes) -> None:
    recipes.add("do-it", {"default_env": {"SIZE": "1"}})
    recipes.add("run-it", {"default_env": {"SIZE": "1"}, "deps": [{"tags": "do,it"}]})
    cm.environment["SIZE"] = "9"
    said = cm.script("run,it").stdout
    assert said.count("note: SIZE of your environment does not count for") == 1
    assert "--env.SIZE=VALUE does" in said
    assert "note:" not in cm.script("run,it", "-s").stdout


def test_a_process_with_very_many_open_files_runs_recipes(
    recipes: Recipes, library: Library
) -> None:
    """``select`` knows no descriptor above 1023."""
    recipes.add("get-it", SCALED, run=SCALE_SEEN)
    with contextlib.ExitStack() as stack:
        for _ in range(1050):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        assert library.env("get,it") == {"MY_RESULT": "none"}
