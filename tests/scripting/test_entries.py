"""Entries of the cache: kept while in use, never half, found under any spelling."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process_watch import until
from recipe_books import USES

from cm4storage.core.errors import StorageBenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipe_books import CM, Library, Recipes

CACHED: dict[str, Any] = {"cache": True, "default_env": {}, "new_env_keys": ["PLACE", "DATA"]}
BUILD = """
    if [ -e "$CM_TMP_CURRENT_PATH/fail" ]; then echo half > half.bin; exit 7; fi
    if [ -e "$CM_TMP_CURRENT_PATH/hang" ]; then echo half > half.bin; sleep 600; fi
    date +%s%N > data.bin
    echo "DATA=$PWD/data.bin" > tmp-run-env.out
"""


@pytest.fixture
def built(cm: CM, recipes: Recipes) -> Path:
    """Return the data of an entry that was made."""
    recipes.add("get-it", CACHED, run=BUILD)
    done = cm.script("get,it")
    assert done.returncode == 0, done.stdout + done.stderr
    return next(cm.cache.glob("*/data.bin"))


def hits(cm: CM) -> bool:
    return "hit: " in cm.script("get,it").stdout


# --renew


def test_a_failing_renewal_leaves_the_good_entry(cm: CM, built: Path) -> None:
    before = built.read_text()
    (cm.caller / "fail").touch()
    for _ in range(2):
        assert cm.script("get,it", "--renew").returncode == 7
        assert built.read_text() == before
        assert not built.with_name("half.bin").exists()
        assert hits(cm)
    (cm.caller / "fail").unlink()
    assert cm.script("get,it", "--renew").returncode == 0
    assert built.read_text() != before
    assert [path.name for path in cm.cache.iterdir() if path.name != ".locks"] == [
        built.parent.name
    ]
    assert hits(cm)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_renewal_leaves_the_good_entry(cm: CM, built: Path, number: int) -> None:
    before = built.read_text()
    (cm.caller / "hang").touch()
    process = cm.start("run", "script", "--tags=get,it", "--renew")
    assert until(lambda: list(cm.cache.glob("*/half.bin")))
    process.send_signal(number)
    process.communicate(timeout=60)
    (cm.caller / "hang").unlink()
    assert hits(cm)
    assert built.read_text() == before
    assert not built.with_name("half.bin").exists()


def test_what_a_run_killed_after_its_renewal_set_aside_goes(cm: CM, built: Path) -> None:
    aside = built.parent.with_name(f".{built.parent.name}.kept")
    aside.mkdir()
    (aside / "old.bin").touch()
    (cm.caller / "fail").touch()
    assert cm.script("get,it", "--renew").returncode == 7
    assert not aside.exists()
    assert hits(cm)


# Outputs


def test_an_output_in_the_temporary_folder_is_not_stored(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("make-job", {"new_env_keys": ["JOB"]}, run='echo "JOB=$PWD/j" > tmp-run-env.out')
    recipes.add("get-it", {**CACHED, "deps": [{"tags": "make,job"}], "new_env_keys": ["JOB"]})
    library.run("get,it")
    assert "not cached: an output names the temporary folder of this run" in library.said()
    assert not library.entries()


@pytest.mark.parametrize("where", ["env", "list", "state"])
def test_an_output_that_has_gone_makes_an_entry_damaged(
    recipes: Recipes, library: Library, where: str
) -> None:
    value = {"env": "path", "list": '["x", path]', "state": '""'}[where]
    recipes.add(
        "get-it",
        {**CACHED, "new_state_keys": ["*"]},
        hooks=f"""
            import os
            def preprocess(i):
                path = os.path.abspath("made.txt")
                open(path, "w").close()
                i["env"]["DATA"] = {value}
                i["env"]["PLACE"] = os.path.abspath("not-made-yet")
                if {where!r} == "state":
                    i["state"]["made"] = {{"at": path}}
        """,
    )
    library.run("get,it")
    assert library.decision("get,it").startswith("hit: ")
    next(library.surroundings.cache.folder.glob("*/made.txt")).unlink()
    decision = library.decision("get,it")
    assert decision.startswith("miss: the entry was damaged and is made again: made.txt is missing")
    assert library.decision("get,it").startswith("hit: ")


def test_data_that_must_be_kept_stay_when_an_output_has_gone(
    recipes: Recipes, library: Library
) -> None:
    recipes.add("get-it", {**CACHED, "keep_across_versions": True}, run=BUILD)
    data = Path(library.env("get,it")["DATA"])
    data.with_name("more.bin").touch()
    data.unlink()
    assert "data.bin is missing" in library.decision("get,it")
    assert data.with_name("more.bin").exists()


# Entries in use


@pytest.fixture
def using(cm: CM, recipes: Recipes, built: Path) -> Callable[[], subprocess.Popen[str]]:  # noqa: ARG001 - the entry is used
    recipes.add(
        "use-it",
        {"deps": [{"tags": "get,it"}]},
        run=f'{USES}    cat "$DATA"\n',
    )

    def start() -> subprocess.Popen[str]:
        process = cm.start("run", "script", "--tags=use,it")
        assert until((cm.caller / "using").exists)
        return process

    return start


def test_an_entry_in_use_is_not_removed(
    cm: CM, built: Path, using: Callable[[], subprocess.Popen[str]]
) -> None:
    process = using()
    refused = cm("rm", "cache", "--tags=get,it", "-f")
    assert refused.returncode == 1
    assert f"{built.parent} (a run uses it)" in refused.stderr
    assert built.exists()
    (cm.caller / "enough").touch()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert cm("rm", "cache", "--tags=get,it", "-f").returncode == 0
    assert not built.exists()


def test_a_renewal_waits_for_the_runs_that_use_the_entry(
    cm: CM, built: Path, using: Callable[[], subprocess.Popen[str]]
) -> None:
    before = built.read_text()
    user = using()
    renewal = cm.start("run", "script", "--tags=get,it", "--renew")
    assert renewal.stdout is not None
    line = renewal.stdout.readline()
    while "waiting" not in line:
        line = renewal.stdout.readline()
        assert line, "it did not wait"
    assert "waiting: another run uses the entry" in line
    assert built.read_text() == before
    (cm.caller / "enough").touch()
    said, _ = user.communicate(timeout=60)
    assert before.strip() in said
    renewal.communicate(timeout=60)
    assert renewal.returncode == 0
    assert built.read_text() != before


def test_an_entry_that_is_made_is_not_removed(cm: CM, built: Path) -> None:
    (cm.caller / "hang").touch()
    process = cm.start("run", "script", "--tags=get,it", "--renew")
    assert until(lambda: list(cm.cache.glob("*/half.bin")))
    shown = [each["state"] for each in json.loads(cm("show", "cache", "-j").stdout)["list"]]
    assert shown == ["incomplete", "incomplete"]  # the old one is aside, the new one is half made
    refused = cm("rm", "cache", "--all", "-f")
    assert refused.returncode == 1
    assert "(a run is making it)" in refused.stderr
    process.terminate()
    process.communicate(timeout=60)
    assert built.exists()


# One folder, several spellings


def test_a_relative_cm_repos_and_a_link_to_it(cm: CM, built: Path) -> None:
    here = cm.folder.parent
    (here / "link").symlink_to(cm.folder)
    for spelling in (cm.folder.name, f"./{cm.folder.name}/", "link", str(here / "link")):
        cm.environment["CM_REPOS"] = spelling
        done = subprocess.run(
            cm.command("run", "script", "--tags=get,it"),
            cwd=here,
            env=cm.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "hit: " in done.stdout, spelling
    assert built.exists()


def test_recipes_run_under_a_relative_cm_repos(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", CACHED, run=BUILD)
    inside = cm.folder / "repos" / "local" / "script" / "run-local"
    inside.parent.mkdir(parents=True, exist_ok=True)
    recipes.add("run-local", {"deps": [{"tags": "get,it"}]}, run='cat "$DATA"').rename(inside)
    cm.environment["CM_REPOS"] = cm.folder.name
    done = subprocess.run(
        cm.command("run", "script", "--tags=run,local"),
        cwd=cm.folder.parent,
        env=cm.environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# What killed builds leave


def test_debris_is_shown_and_removed(cm: CM, recipes: Recipes, built: Path) -> None:
    recipes.add("get-more", {**CACHED, "uid": "2" * 16}, run="head -c 5000 /dev/zero > x; sleep 60")
    process = cm.start("run", "script", "--tags=get,more")
    assert until(lambda: [p for p in cm.cache.glob("*/x") if p.stat().st_size == 5000])
    process.kill()
    process.communicate(timeout=60)
    debris = next(cm.cache.glob("*/x")).parent
    foreign = cm.cache / "0123456789abcdef"
    foreign.mkdir()
    shown = cm("show", "cache").stdout
    assert re.search(rf"{debris.name} +[5-9]\.\d KiB  incomplete", shown)
    assert foreign.name not in shown
    assert str(debris) not in cm("find", "cache").stdout
    listed = json.loads(cm("show", "cache", "-j").stdout)["list"]
    assert {each["uid"]: each["state"] for each in listed} == {
        debris.name: "incomplete",
        built.parent.name: "complete",
    }
    assert cm("rm", "cache", debris.name, "-f").returncode == 0
    assert not debris.exists()
    (built.with_name("cm-cached-state.json")).write_text("{")
    assert "damaged: its state file does not parse" in cm("show", "cache").stdout
    assert cm("rm", "cache", "--all", "-f").returncode == 0
    assert not built.exists()
    assert foreign.exists()


def test_a_cache_that_may_only_be_read_still_hits(recipes: Recipes, library: Library) -> None:
    recipes.add("get-it", CACHED, run=BUILD)
    library.run("get,it")
    locks = library.surroundings.cache.locks
    for path in locks.iterdir():
        path.unlink()
    locks.rmdir()
    locks.write_text("no folder can be made here")
    assert library.decision("get,it").startswith("hit: ")
    with pytest.raises(StorageBenchmarkError, match="the CM cache cannot be written"):
        library.run("get,it", renew=True)
