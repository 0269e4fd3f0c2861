"""What customize.py may call through ``i["automation"]``, and what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.scripting.failures import RecipeFailure

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM, Library, Recipes

FIND = """
    def preprocess(i):
        env = i["env"]
        return i["automation"].find_artifact({
            "file_name": "tool", "env": env, "os_info": i["os_info"],
            "default_path_env_key": "PATH", "detect_version": True, "env_path_key": "TOOL",
            "run_script_input": i["run_script_input"], "recursion_spaces": i["recursion_spaces"],
            "extra_paths": {"lib": "+TOOL_LIB"}})

    def detect_version(i):
        r = i["automation"].parse_version({"match_text": r"tool ([0-9.]+)", "group_number": 1,
                                           "env_key": "TOOL_VERSION", "which_env": i["env"]})
        if r["return"] == 0 and r["version"] == "0":
            return {"return": 0, "version": -1}
        return r

    def postprocess(i):
        return detect_version(i)
"""
RUN = '"$TOOL" > tmp-ver.out'
META: dict[str, Any] = {
    "cache": True,
    "input_mapping": {"path": "CM_TMP_PATH", "input": "CM_INPUT"},
    "new_env_keys": ["TOOL", "TOOL_VERSION", "+PATH", "+TOOL_LIB"],
}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder with the tools 9, 10 and another of that name, each in a ``bin``."""
    for folder, version in (("nine", "9.1"), ("ten", "10.2"), ("other", "0")):
        place = tmp_path / "tools" / folder / "bin"
        place.mkdir(parents=True)
        (place / "tool").write_text(f"#!/bin/sh\necho tool {version}\n")
        (place / "tool").chmod(0o755)
        (place.parent / "lib").mkdir()
    return tmp_path / "tools"


def paths(tools: Path, *names: str) -> str:
    return ":".join(str(tools / name / "bin") for name in names)


def test_a_tool_is_found_and_its_version_detected(
    recipes: Recipes, library: Library, tools: Path
) -> None:
    recipes.add("get-tool", META, run=RUN, hooks=FIND)
    env = library.env("get,tool", env={"CM_TMP_PATH": paths(tools, "other", "nine", "ten")})
    assert env["TOOL"] == str(tools / "nine/bin/tool")
    assert env["TOOL_VERSION"] == "9.1"
    assert env["+PATH"] == [str(tools / "nine/bin")]
    assert env["+TOOL_LIB"] == [str(tools / "nine/lib")]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"version": "10.2"}, "ten"),
        ({"version_min": "9.5"}, "ten"),
        ({"version_max": "9.99"}, "nine"),
        ({"version_min": "9.1", "version_max": "9.1"}, "nine"),
    ],
)
def test_the_tool_that_is_found_has_the_version_asked_for(
    recipes: Recipes, library: Library, tools: Path, limits: dict[str, str], found: str
) -> None:
    recipes.add("get-tool", META, run=RUN, hooks=FIND)
    folders = {"CM_TMP_PATH": paths(tools, "nine", "ten")}
    assert library.env("get,tool", env=folders, **limits)["TOOL"] == str(tools / found / "bin/tool")


def test_a_missing_version_names_those_that_are_there(
    recipes: Recipes, library: Library, tools: Path
) -> None:
    recipes.add("get-tool", META, run=RUN, hooks=FIND)
    folders = {"CM_TMP_PATH": paths(tools, "nine", "other")}
    with pytest.raises(RecipeFailure, match=r"tool of a version >= 11 not found.*9\.1.*another"):
        library.run("get,tool", env=folders, version_min="11")
    with pytest.raises(RecipeFailure, match="tool not found"):
        library.run("get,tool", env={"CM_TMP_PATH": str(tools)})


def test_a_folder_or_file_that_is_not_there_is_named(
    recipes: Recipes, library: Library, tools: Path
) -> None:
    recipes.add("get-tool", META, run=RUN, hooks=FIND)
    with pytest.raises(RecipeFailure, match="path /nowhere doesn't exist"):
        library.run("get,tool", env={"CM_TMP_PATH": "/nowhere"})
    with pytest.raises(RecipeFailure, match="file /nowhere/x doesn't exist"):
        library.run("get,tool", env={"CM_INPUT": "/nowhere/x"})
    forced = str(tools / "ten/bin/tool")
    assert library.env("get,tool", env={"CM_INPUT": forced})["TOOL"] == forced


def test_the_search_path_is_where_a_tool_is_looked_for(
    recipes: Recipes, cm: CM, tools: Path
) -> None:
    recipes.add("get-tool", META, run=RUN, hooks=FIND)
    cm.environment["PATH"] = f"{tools}/ten/bin:{cm.environment['PATH']}"
    done = cm.script("get,tool", "--out=json")
    assert done.returncode == 0, done.stderr
    assert f'"TOOL": "{tools}/ten/bin/tool"' in done.stdout
    assert '"+PATH"' not in done.stdout


def test_what_a_detection_does_to_the_state_is_forgotten(
    recipes: Recipes, library: Library, tools: Path
) -> None:
    run = RUN + '; echo \'{"seen": ["\'"$TOOL"\'"]}\' > tmp-run-state.json'
    recipes.add("get-tool", {**META, "new_state_keys": ["seen"]}, run=run, hooks=FIND)
    state = library.run("get,tool", env={"CM_TMP_PATH": paths(tools, "other", "ten")})["new_state"]
    assert state == {"seen": [str(tools / "ten/bin/tool")]}


def test_another_script_of_the_recipe_runs_with_an_environment_of_its_own(
    recipes: Recipes, library: Library
) -> None:
    folder = recipes.add(
        "get-it",
        {"new_env_keys": ["A", "B", "C"]},
        hooks="""
            def preprocess(i):
                given = {"script_name": "extra", "run_script_input": i["run_script_input"]}
                r = i["automation"].run_native_script({**given, "env": {"A": "in"}})
                i["env"]["B"] = r["env_tmp"]["A"] + r["env_tmp"]["C"]
                given["script_name"] = "broken"
                r = i["automation"].run_native_script(given)
                return {"return": 0 if r["return"] == 2 and "exit code 3" in r["error"] else 1}
        """,
    )
    (folder / "extra.sh").write_text('echo "C=$A-out" > tmp-run-env.out\n')
    (folder / "broken.sh").write_text("exit 3\n")
    assert library.env("get,it") == {"B": "inin-out"}


def test_a_hook_names_the_script(recipes: Recipes, library: Library) -> None:
    folder = recipes.add(
        "get-it",
        {"new_env_keys": ["A"]},
        run="echo A=run > tmp-run-env.out",
        hooks='def preprocess(i): i["run_script_input"]["script_name"] = "other"',
    )
    (folder / "other.sh").write_text("echo A=other > tmp-run-env.out\n")
    assert library.env("get,it") == {"A": "other"}


@pytest.mark.parametrize("name", ["run-x-1-m", "run-x-m", "run-x-1", "run-x", "run-m", "run"])
def test_the_script_for_this_system_runs(recipes: Recipes, library: Library, name: str) -> None:
    system = {
        "CM_HOST_OS_FLAVOR": "x",
        "CM_HOST_OS_VERSION": "1",
        "CM_HOST_PLATFORM_FLAVOR": "m",
    }
    folder = recipes.add("get-it", {"env": system, "new_env_keys": ["A"]}, run="true")
    (folder / f"{name}.sh").write_text(f"echo A={name} > tmp-run-env.out\n")
    (folder / "run-y.sh").write_text("echo A=wrong > tmp-run-env.out\n")
    assert library.env("get,it") == {"A": name}


def test_dependencies_that_have_yet_to_run_can_be_changed(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "late-dep",
        {"variations": {"a": {"env": {"A": "a"}}}, "new_env_keys": ["A", "B", "V"]},
        hooks='def preprocess(i): i["env"]["V"] = i["env"].get("CM_VERSION", "")',
    )
    recipes.add(
        "get-it",
        {"post_deps": [{"tags": "late,dep", "names": ["it"]}], "new_env_keys": ["A", "B", "V"]},
        hooks="""
            def postprocess(i):
                update = {"tags": "_a", "env": {"B": "<<<X>>>"}, "version": "7"}
                i["env"]["X"] = "x"
                return i["automation"].update_deps({"deps": i["meta"]["post_deps"],
                    "env": i["env"], "update_deps": {"it": update, "other": {"tags": "_b"}}})
        """,
    )
    assert library.env("get,it") == {"A": "a", "B": "x", "V": "7"}
    assert library.env("get,it") == {"A": "a", "B": "x", "V": "7"}


def test_a_result_is_not_cached_if_a_hook_chose_other_recipes(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("late-one", {"tags": ["late"], "variations": {"a": {}}})
    recipes.add("late-two", {"tags": ["late", "two"]})
    for alias, tags in (("get-same", "_a"), ("get-other", "two")):
        recipes.add(
            alias,
            {"cache": True, "post_deps": [{"tags": "late", "names": ["it"]}]},
            hooks=f"""
                def preprocess(i):
                    i["automation"].update_deps({{"deps": i["meta"]["post_deps"],
                        "update_deps": {{"it": {{"tags": {tags!r}}}}}}})
            """,
        )
    library.run("get,same", quiet=True)
    assert len(library.entries()) == 1
    library.run("get,other", quiet=True)
    assert "not cached: a hook changed which recipes run in post_deps" in library.said()
    assert len(library.entries()) == 1


def test_a_recipe_can_have_another_run_in_its_place(recipes: Recipes, library: Library) -> None:
    recipes.add("other-one", {"env": {"A": "other"}, "new_env_keys": ["A"]})
    recipes.add(
        "get-it",
        {"new_env_keys": ["B"]},
        run="echo B=never > tmp-run-env.out",
        hooks="""
            def preprocess(i):
                return {"return": 0, "skip": True, "script": {"tags": "other,one"}}
        """,
    )
    assert library.env("get,it") == {"A": "other"}


def test_files_are_found_below_and_above_a_folder(
    recipes: Recipes, library: Library, tools: Path
) -> None:
    recipes.add(
        "get-it",
        {"new_env_keys": ["DEEP", "SOME", "BACK", "NONE"]},
        hooks=f"""
            def preprocess(i):
                am, env = i["automation"], i["env"]
                asked = {{"paths": [{str(tools)!r}], "file_name": "tool"}}
                env["DEEP"] = str(len(am.find_file_deep(asked)["found_paths"]))
                asked["restrict_paths"] = ["/ten/"]
                env["SOME"] = am.find_file_deep(asked)["found_paths"][0]
                asked = {{"path": {str(tools / "ten/bin/no/where")!r}, "file_name": "tool"}}
                env["BACK"] = am.find_file_back(asked)["found_path"]
                env["NONE"] = am.find_file_back({{**asked, "file_name": "no"}})["found_path"]
        """,
    )
    ten = str(tools / "ten/bin")
    assert library.env("get,it") == {"DEEP": "3", "SOME": ten, "BACK": ten, "NONE": ""}


def test_a_script_reads_the_state_and_leaves_no_copy_of_it(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "get-it",
        {"cache": True, "state": {"words": {"deep": "state"}}, "new_env_keys": ["SEEN"]},
        run="""
            echo "SEEN=$(grep -c '"deep": "state"' tmp-state.json)" > tmp-run-env.out
            stat -c %a tmp-state.json | grep -q 600
        """,
    )
    assert library.env("get,it") == {"SEEN": "1"}
    assert list(library.surroundings.cache.folder.rglob("tmp-*")) == []


def test_a_state_can_ask_for_lines_before_every_script(recipes: Recipes, library: Library) -> None:
    state = {"script_prefix": ["GREETING=hello"]}
    recipes.add("set-prefix", {"state": state, "new_state_keys": ["script_prefix"]})
    recipes.add(
        "get-it",
        {"deps": [{"tags": "set,prefix"}], "new_env_keys": ["A"]},
        run='echo "A=$GREETING" > tmp-run-env.out',
    )
    assert library.env("get,it") == {"A": "hello"}


def test_a_recipe_may_work_in_a_folder_of_the_user(recipes: Recipes, cm: CM) -> None:
    recipes.add(
        "make-it", {"clean_files": ["old.txt"]}, run="test ! -e old.txt; echo new > out.txt"
    )
    (cm.caller / "here").mkdir()
    (cm.caller / "here" / "old.txt").write_text("old")
    done = cm.script("make,it", "--env.CM_OUTDIRNAME=here")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (cm.caller / "here").iterdir()) == ["out.txt"]


def test_variables_are_copied_to_other_names(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "get-it",
        {"env": {"OLD_A": "1"}, "env_key_mappings": {"OLD_": "NEW_"}, "new_env_keys": ["SEEN"]},
        run='echo "SEEN=$NEW_A" > tmp-run-env.out',
    )
    assert library.env("get,it") == {"SEEN": "1"}


def test_an_entry_has_the_tags_that_recipes_ask_for(recipes: Recipes, library: Library) -> None:
    meta = {
        "can_force_cache": True,
        "new_env_keys": ["A"],
        "extra_cache_tags_from_env": [{"env": "FOUND", "prefix": "f-"}],
    }
    recipes.add(
        "get-it",
        meta,
        hooks="""
            def postprocess(i):
                i["env"]["FOUND"] = "x,y"
                return {"return": 0, "version": "7.5", "add_extra_cache_tags": ["mine"]}
        """,
    )
    dep = {"tags": "get,it", "force_cache": True, "extra_cache_tags": "data,of-<<<B>>>"}
    recipes.add("run-it", {"deps": [dep], "env": {"B": "b"}})
    library.run("get,it")
    assert library.entries() == []
    library.run("run,it")
    library.run("run,it")
    (entry,) = library.entries()
    wanted = {"get", "it", "data", "of-b", "version-7.5", "mine", "deps-f-x", "deps-f-y"}
    assert wanted <= set(entry["tags"])


def test_dynamic_dependencies_run_on_a_hit(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "say-now",
        {"new_env_keys": ["NOW"]},
        hooks="""
        import time
        def preprocess(i): i["env"]["NOW"] = str(time.time_ns())
    """,
    )
    recipes.add(
        "say-then",
        {"new_env_keys": ["THEN"]},
        hooks="""
        import time
        def preprocess(i): i["env"]["THEN"] = str(time.time_ns())
    """,
    )
    recipes.add(
        "get-it",
        {
            "cache": True,
            "post_deps": [{"tags": "say,now", "dynamic": True}, {"tags": "say,then"}],
            "new_env_keys": ["NOW", "THEN"],
        },
    )
    first, second = library.env("get,it"), library.env("get,it")
    assert first["THEN"] == second["THEN"]
    assert int(first["NOW"]) < int(second["NOW"])
    assert library.decision("get,it").startswith("hit")


def test_a_hook_reaches_cmind_where_there_is_one(
    recipes: Recipes, library: Library, cm: CM
) -> None:
    recipes.add(
        "ask-cm",
        {"new_env_keys": ["A"]},
        hooks="""
        def preprocess(i):
            i["automation"].cmind.logger.debug("here")
            r = i["automation"].cmind.access({"action": "find", "automation": "repo"})
            if r["return"] > 0:
                return r
            i["env"]["A"] = str(len(r["list"]) > 0)
    """,
    )
    done = cm.script("ask,cm", "--out=json")
    assert '"A": "True"' in done.stdout
    with pytest.raises(RecipeFailure, match=r"needs cmind \(find repo\): run it with cm"):
        library.run("ask,cm")


def test_outputs_are_shown_where_the_metadata_says_so(recipes: Recipes, library: Library) -> None:
    meta = {"env": {"A": "1"}, "new_env_keys": ["A"], "print_env_at_the_end": {"A": "the answer"}}
    recipes.add("get-it", meta)
    library.run("get,it")
    assert "the answer: 1" in library.said()


def test_files_are_shown_when_a_script_fails(recipes: Recipes, library: Library) -> None:
    meta = {"print_files_if_script_error": ["log.txt"]}
    recipes.add("get-it", meta, run="echo why > log.txt; exit 4")
    with pytest.raises(RecipeFailure, match="exit code 4"):
        library.run("get,it")
    assert "log.txt:\nwhy\n" in library.said()
