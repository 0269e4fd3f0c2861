"""Which changes make a new cache entry, which do not, and what is said about it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from recipe_books import CACHED, WRITE

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from recipe_books import Library, Recipes


@pytest.fixture
def cached(recipes: Recipes) -> Path:
    return recipes.add("get-data", CACHED, hooks=WRITE)


def is_new(decision: str) -> bool:
    assert decision.startswith(("hit: ", "miss: "))
    return decision.startswith("miss: ")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"size": "2"}),
        ({}, {"size": ""}),
        ({}, {"env": {"MODE": "other"}}),
        ({}, {"env": {"SIZE": "01"}}),
        ({}, {"tags": "get,data,_large"}),
        ({"tags": "get,data,_large"}, {}),
        ({}, {"tags": "get,data,_loud"}),
        ({}, {"version": "2"}),
        ({"where": "a"}, {"where": "b"}),
        ({"size": "1", "env": {"MODE": "12"}}, {"size": "11", "env": {"MODE": "2"}}),
    ],
)
@pytest.mark.usefixtures("cached")
def test_must_differ(library: Library, first: dict[str, Any], second: dict[str, Any]) -> None:
    for given in (first, second):
        assert is_new(library.decision(**{"tags": "get,data", **given}))
    assert len(library.entries()) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({}, {"size": "1"}),
        ({}, {"size": 1}),
        ({}, {"tags": "get,data,_small"}),
        ({"tags": "get,data,_loud,_large"}, {"tags": "data,get,_large,_loud"}),
        ({}, {"env": {"UNRELATED": "x"}}),
        ({}, {"quiet": True}),
        ({}, {"v": True}),
        ({}, {"env": {"PORT": "1234"}}),
        ({}, {"env": {"GH_TOKEN": "t0ken"}}),
    ],
)
@pytest.mark.usefixtures("cached")
def test_must_match(library: Library, first: dict[str, Any], second: dict[str, Any]) -> None:
    places = []
    for given in (dict(first), dict(second)):
        places.append(library.env(given.pop("tags", "get,data"), **given)["PLACE"])
    assert places[0] == places[1]
    assert len(library.entries()) == 1


def test_editing_the_code_is_a_miss_and_editing_the_readme_is_not(
    cached: Path, library: Library
) -> None:
    library.run("get,data")
    (cached / "README.md").write_text("generated")
    assert not is_new(library.decision("get,data"))
    with (cached / "customize.py").open("a") as stream:
        stream.write("# edited\n")
    assert library.decision("get,data") == "miss: recipe code changed (customize.py)"


def test_a_helper_beside_the_hooks_counts(cached: Path, library: Library) -> None:
    library.run("get,data")
    (cached / "helpers").mkdir()
    (cached / "helpers" / "more.py").write_text("X = 1")
    assert library.decision("get,data") == "miss: recipe code changed (helpers/more.py)"


def test_a_release_finds_data_again_that_it_must_keep(recipes: Recipes, library: Library) -> None:
    folder = recipes.add("get-data", {**CACHED, "keep_across_versions": True}, hooks=WRITE)
    library.run("get,data")
    (folder / "customize.py").write_text("def preprocess(i):\n    raise RuntimeError\n")
    assert not is_new(library.decision("get,data"))
    with pytest.raises(Exception, match="RuntimeError"):
        library.run("get,data", size="2")


@pytest.mark.parametrize("how", ["damaged", "moved", "no state", "a new one", "a failing run"])
def test_data_that_must_be_kept_survive(recipes: Recipes, library: Library, how: str) -> None:
    """What a user generated for hours is not wiped because a small file beside it is odd."""
    metadata = {**CACHED, "keep_across_versions": True}
    folder = recipes.add("get-data", metadata, hooks=WRITE)
    library.run("get,data")
    state = next(library.surroundings.cache.folder.glob("*/cm-cached-state.json"))
    data = state.with_name("data.bin")
    data.write_text("generated for hours")
    if how == "damaged":
        state.write_text("{")
    elif how == "moved":
        state.write_text(state.read_text().replace('"made_in": "/', '"made_in": "/elsewhere/'))
    elif how == "no state":
        state.unlink()
    elif how == "a failing run":
        state.unlink()
        (folder / "customize.py").write_text("def preprocess(i):\n    raise RuntimeError\n")
        with pytest.raises(Exception, match="RuntimeError"):
            library.run("get,data")
        recipes.add("get-data", metadata, hooks=WRITE)
    asked = {"new": True} if how == "a new one" else {}
    assert is_new(library.decision("get,data", **asked))
    assert data.read_text() == "generated for hours"
    assert not is_new(library.decision("get,data"))


@pytest.mark.usefixtures("cached")
def test_a_hit_says_what_is_the_same(library: Library) -> None:
    library.run("get,data")
    entry = library.entries()[0]
    decision = library.decision("get,data")
    uid = entry["key"][:16]
    assert decision == f"hit: {uid} of {entry['created']}, the same in code and inputs"


@pytest.mark.usefixtures("cached")
def test_a_file_counts_by_content_and_name_not_by_folder(library: Library, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.yaml").write_text("content: 1")
    assert is_new(library.decision("get,data", config=str(tmp_path / "a" / "w.yaml")))
    assert not is_new(library.decision("get,data", config=str(tmp_path / "b" / "w.yaml")))
    (tmp_path / "b" / "w.yaml").write_text("content: 2")
    decision = library.decision("get,data", config=str(tmp_path / "b" / "w.yaml"))
    assert decision == "miss: content of CONFIG changed"


def test_a_recipe_without_declared_inputs_is_keyed_by_all_it_gets(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("get-data", {"cache": True, "new_env_keys": ["PLACE"]}, hooks=WRITE)
    library.run("get,data")
    assert library.decision("get,data", env={"ANY": "1"}) == "miss: ANY changed unset -> '1'"
    assert not is_new(library.decision("get,data", env={"ANY": "1"}))
    assert is_new(library.decision("get,data", state={"any": 1}))


def test_keys_of_dependencies_count(recipes: Recipes, library: Library) -> None:
    folder = recipes.add("get-data", CACHED, hooks=WRITE)
    recipes.add("use-data", {"cache": True, "default_env": {}, "deps": [{"tags": "get,data"}]})
    library.run("use,data")
    assert not is_new(library.decision("use,data"))
    assert library.decision("use,data", size="2") == "miss: get-data: SIZE changed '1' -> '2'"
    (folder / "more.txt").write_text("x")
    assert library.decision("use,data") == "miss: get-data: code changed (more.txt)"


def test_outputs_of_an_uncached_dependency_count_unless_volatile(
    recipes: Recipes, library: Library, tmp_path: Path
) -> None:
    machine = tmp_path / "machine.txt"
    recipes.add(
        "detect-it",
        {"default_env": {}, "new_env_keys": ["CORES", "PORT"], "volatile_env_keys": ["PORT"]},
        hooks=f"""
            import os
            def preprocess(i):
                with open({str(machine)!r}) as stream:
                    i["env"]["CORES"] = stream.read()
                i["env"]["PORT"] = os.urandom(4).hex()
        """,
    )
    recipes.add("build-it", {"cache": True, "default_env": {}, "deps": [{"tags": "detect,it"}]})
    machine.write_text("4")
    library.run("build,it")
    assert not is_new(library.decision("build,it"))
    machine.write_text("8")
    assert library.decision("build,it") == "miss: detect-it: CORES changed '4' -> '8'"


def test_a_file_in_the_temporary_folder_counts_by_its_content(
    recipes: Recipes, library: Library
) -> None:
    recipes.add(
        "make-job",
        {"input_mapping": {"n": "N"}, "default_env": {"N": "1"}, "new_env_keys": ["JOB"]},
        hooks="""
            import os
            def preprocess(i):
                with open("job.json", "w") as stream:
                    stream.write(i["env"]["N"][:1])
                i["env"]["JOB"] = os.path.abspath("job.json")
        """,
    )
    recipes.add("do-job", {"cache": True, "default_env": {"JOB": ""}})
    recipes.add("all-jobs", {"deps": [{"tags": "make,job"}], "prehook_deps": [{"tags": "do,job"}]})

    def do_job(n: str) -> str:
        return str(
            next(
                r["decision"]
                for r in library.run("all,jobs", n=n)["recipes"]
                if r["recipe"] == "do-job"
            )
        )

    assert is_new(do_job("1"))
    assert not is_new(do_job("1"))
    assert is_new(do_job("2"))


def test_code_of_later_dependencies_counts(recipes: Recipes, library: Library) -> None:
    folder = recipes.add("help-it", {})
    recipes.add(
        "get-data", {"cache": True, "default_env": {}, "posthook_deps": [{"tags": "help,it"}]}
    )
    library.run("get,data")
    assert not is_new(library.decision("get,data"))
    (folder / "run.sh").write_text("true")
    assert library.decision("get,data") == "miss: code of help-it changed"


def test_volatile_outputs_are_not_stored(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "get-data",
        CACHED,
        hooks="""
            def preprocess(i):
                i["env"].update(PORT="8333", PLACE="here")
        """,
    )
    assert library.env("get,data") == {"PORT": "8333", "PLACE": "here"}
    assert library.entries()[0]["new_env"] == {"PLACE": "here"}


SECRET = "s3cr3t-v4lue"


@pytest.mark.parametrize(
    ("metadata", "given", "reason"),
    [
        ({"input_mapping": {"secret_key": "SECRET_KEY"}}, {"secret_key": SECRET}, "SECRET_KEY"),
        (
            {"input_mapping": {"pin": "PIN"}, "input_description": {"pin": {"secret": True}}},
            {"pin": SECRET},
            "PIN",
        ),
        ({"input_mapping": {"url": "URL"}}, {"url": f"http://me:{SECRET}@host/"}, "URL"),
        (
            {"default_env": {}, "env": {"MY_PASSWORD": SECRET}, "new_env_keys": ["MY_PASSWORD"]},
            {},
            "MY_PASSWORD",
        ),
        (
            {"default_env": {}, "env": {"OUT": f"x{SECRET}y"}, "new_env_keys": ["OUT"]},
            {"env": {"THE_TOKEN": SECRET}},
            "holds a secret",
        ),
    ],
)
def test_a_secret_keeps_a_result_out_of_the_cache(
    recipes: Recipes, library: Library, metadata: dict[str, Any], given: dict[str, Any], reason: str
) -> None:
    recipes.add("get-data", {"cache": True, **metadata}, hooks=WRITE)
    decision = library.decision("get,data", **given)
    assert "not cached" in decision
    assert reason in decision
    said = library.said()
    assert SECRET not in said
    assert not library.entries()
    for path in library.surroundings.local_folder.rglob("*"):
        assert path.is_dir() or SECRET not in path.read_text()


def test_a_secret_of_a_dependency_is_in_no_key(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "setup-it", {"input_mapping": {"secret_key": "SECRET_KEY"}, "new_env_keys": ["SECRET_KEY"]}
    )
    recipes.add("get-data", {"cache": True, "default_env": {}, "deps": [{"tags": "setup,it"}]})
    assert is_new(library.decision("get,data", secret_key=SECRET))
    assert not is_new(library.decision("get,data", secret_key="an0ther-one"))
    assert SECRET not in json.dumps(library.entries())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda state: state.write_text("{"), "does not parse"),
        (lambda state: state.write_text("[]"), "does not parse"),
        (lambda state: state.write_bytes(b"\xff\xfe"), "does not parse"),
        (
            lambda state: state.write_text(
                json.dumps({**json.loads(state.read_text()), "key": "0"})
            ),
            "its stored key differs",
        ),
        (
            lambda state: state.write_text(
                json.dumps({**json.loads(state.read_text()), "format": 99})
            ),
            "its format is 99",
        ),
    ],
)
@pytest.mark.usefixtures("cached")
def test_a_damaged_entry_is_made_again(library: Library, damage: Any, reason: str) -> None:
    place = library.env("get,data")["PLACE"]
    damage(next(library.surroundings.cache.folder.glob("*/cm-cached-state.json")))
    decision = library.decision("get,data")
    assert decision.startswith("miss: the entry was damaged and is made again")
    assert reason in decision
    assert library.env("get,data")["PLACE"] == place
    assert not is_new(library.decision("get,data"))


@pytest.mark.usefixtures("cached")
def test_an_entry_that_was_moved_is_made_again(library: Library, tmp_path: Path) -> None:
    library.run("get,data")
    cache = library.surroundings.cache.folder
    shutil.copytree(cache, tmp_path / "moved")
    shutil.rmtree(cache)
    (tmp_path / "moved").rename(cache)
    assert not is_new(library.decision("get,data"))
    state = next(cache.glob("*/cm-cached-state.json"))
    state.write_text(state.read_text().replace(f'"made_in": "{cache}', '"made_in": "/elsewhere'))
    assert "made in /elsewhere" in library.decision("get,data")


@pytest.mark.usefixtures("cached")
def test_debris_is_wiped_before_an_entry_is_made(library: Library) -> None:
    place = library.env("get,data")["PLACE"]
    folder = next(library.surroundings.cache.folder.glob("*/made.txt")).parent
    (folder / "cm-cached-state.json").unlink()
    (folder / "half-made.bin").write_text("x")
    assert library.decision("get,data") == "miss: first run"
    assert not (folder / "half-made.bin").exists()
    assert library.env("get,data")["PLACE"] == place


def test_renew_makes_the_asked_recipe_again_and_not_its_dependencies(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("get-data", CACHED, hooks=WRITE)
    recipes.add("use-data", {"cache": True, "default_env": {}, "deps": [{"tags": "get,data"}]})
    library.run("use,data")
    decisions = [r["decision"][:4] for r in library.run("use,data", renew=True)["recipes"]]
    assert decisions == ["hit:", "miss"]


@pytest.mark.usefixtures("cached")
def test_skip_cache_neither_reads_nor_writes(library: Library) -> None:
    place = library.env("get,data", skip_cache=True)["PLACE"]
    assert "cm-run-" in place
    assert not library.entries()


def test_a_recipe_runs_once_per_call_for_one_key(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "setup-it",
        {
            "run_once": True,
            "input_mapping": {"n": "N"},
            "default_env": {"N": "0"},
            "new_env_keys": ["ID"],
            "volatile_env_keys": ["ID"],
        },
        hooks="""
            import os
            def preprocess(i):
                i["env"]["ID"] = os.urandom(4).hex()
        """,
    )
    recipes.add("do-it", {"deps": [{"tags": "setup,it"}], "new_env_keys": ["ID"]})
    recipes.add(
        "run-it",
        {
            "deps": [{"tags": "setup,it"}, {"tags": "do,it"}],
            "posthook_deps": [{"tags": "setup,it", "env": {"N": "1"}}],
        },
    )
    decisions = [
        r["decision"] for r in library.run("run,it")["recipes"] if r["recipe"] == "setup-it"
    ]
    assert decisions == ["run", "reused: it ran before in this call", "run"]


@pytest.mark.usefixtures("cached")
def test_a_name_that_is_no_utf_8(library: Library) -> None:
    where = b"/odd\xff".decode("utf-8", "surrogateescape")
    assert is_new(library.decision("get,data", where=where))
    assert not is_new(library.decision("get,data", where=where))
    assert is_new(library.decision("get,data", where="/odd"))
    assert "WHERE changed" in library.said()


@pytest.mark.usefixtures("cached")
def test_an_entry_gets_its_description_again(library: Library) -> None:
    library.run("get,data")
    description = next(library.surroundings.cache.folder.glob("*/_cm.json"))
    before = description.read_text()
    description.unlink()
    assert not is_new(library.decision("get,data"))
    assert description.read_text() == before


# What a recipe's folder may hold


def test_links_count_by_what_they_say_and_what_they_lead_to(
    cached: Path, library: Library, tmp_path: Path
) -> None:
    shared = tmp_path / "shared.py"
    shared.write_text("1")
    (tmp_path / "lib").mkdir()
    for target in ("nowhere", "nowhere-else", str(tmp_path / "lib"), str(shared)):
        (cached / "link").unlink(missing_ok=True)
        (cached / "link").symlink_to(target)
        assert is_new(library.decision("get,data")), target
        assert not is_new(library.decision("get,data")), target
    shared.write_text("2")
    assert library.decision("get,data") == "miss: recipe code changed (link)"


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_no_file_is_refused(cached: Path, library: Library, kind: str) -> None:
    path = cached / "odd"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        here = Path.cwd()
        os.chdir(cached)  # the name of a socket must be short
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("odd")
        os.chdir(here)
    with pytest.raises(UserError, match=r"something that is no file: odd(.|\n)*get-data/odd"):
        library.run("get,data")


def test_a_file_of_a_recipe_that_cannot_be_read(cached: Path, library: Library) -> None:
    path = cached / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(UserError, match=r"cannot read secret\.txt: Permission denied"):
        library.run("get,data")
