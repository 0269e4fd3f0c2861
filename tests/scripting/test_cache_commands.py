"""cm show, find, rm and prune cache, as users type them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process_watch import until
from recipe_books import USES, uid_of

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM, Recipes

CACHED: dict[str, Any] = {
    "cache": True,
    "input_mapping": {"size": "SIZE"},
    "default_env": {"SIZE": "1"},
    "new_env_keys": ["PLACE"],
    "variations": {"small": {"group": "kind", "default": True}, "large": {"group": "kind"}},
}
MAKE = 'head -c 5000 /dev/zero > made.bin; echo "PLACE=$PWD" > tmp-run-env.out'


@pytest.fixture
def made(cm: CM, recipes: Recipes) -> Path:
    """Return the folder of one entry, made by a recipe that a second cached one asks for."""
    recipes.add("get-it", CACHED, run=MAKE)
    recipes.add("pass-on", {"deps": [{"tags": "get,it"}], "new_env_keys": ["PLACE"]})
    recipes.add("get-above", {"cache": True, "default_env": {}, "deps": [{"tags": "pass,on"}]})
    assert cm.script("get,it").returncode == 0
    return next(cm.cache.glob("*/made.bin")).parent


def listed(cm: CM, *words: str) -> Any:
    done = cm(*words, "-j")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def backdate(entry: Path, created: str) -> None:
    path = entry / "cm-cached-state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": created}))


def leave_debris(cm: CM, recipes: Recipes, **metadata: Any) -> Path:
    recipes.add("get-more", {**CACHED, **metadata}, run="echo x > half.bin; sleep 60")
    process = cm.start("run", "script", "--tags=get,more")
    assert until(lambda: list(cm.cache.glob("*/half.bin")))
    process.kill()
    process.communicate(timeout=60)
    return next(cm.cache.glob("*/half.bin")).parent


# show and find


def test_show_tells_size_age_and_what_the_key_covers(cm: CM, made: Path) -> None:
    shown = cm("show", "cache").stdout
    assert re.search(rf"^{made.name} +\d\.\d KiB  new  get-it$", shown, re.MULTILINE), shown
    assert "key   variations _small; SIZE=1; code of 2 files" in shown
    backdate(made, "2020-01-01T00:00:00+00:00")
    assert re.search(r"\d{4} days old  get-it", cm("show", "cache").stdout)
    [entry] = listed(cm, "show", "cache")["list"]
    assert entry["age_s"] > 86400
    assert entry["size_bytes"] > 5000
    assert entry["key"]["inputs"] == {"SIZE": "1"}


def test_show_names_the_process_that_uses_an_entry(cm: CM, recipes: Recipes, made: Path) -> None:
    recipes.add(
        "use-it",
        {"deps": [{"tags": "get,it"}]},
        run=USES,
    )
    assert listed(cm, "show", "cache")["list"][0]["used_by_processes"] == []
    user = cm.start("run", "script", "--tags=use,it")
    assert until((cm.caller / "using").exists)
    assert f"used  by process {user.pid}" in cm("show", "cache").stdout
    assert listed(cm, "show", "cache")["list"][0]["used_by_processes"] == [user.pid]
    pruned = listed(cm, "prune", "cache", "--all")
    assert [each["reason"] for each in pruned["kept"]] == [f"process {user.pid} uses it"]
    assert pruned["freed_bytes"] == 0
    (cm.caller / "enough").touch()
    user.communicate(timeout=60)
    assert made.exists()


def test_show_names_the_entries_whose_key_covers_it(cm: CM, made: Path) -> None:
    assert cm.script("get,above").returncode == 0
    [above] = listed(cm, "find", "cache", "--tags=get,above")["list"]
    assert f"in the key of {above['uid']}" in cm("show", "cache", made.name).stdout
    [entry] = listed(cm, "show", "cache", "--tags=get,it")["list"]
    assert entry["covered_by"] == [above["uid"]]


def test_entries_are_found_by_cm_s_own_tags(cm: CM, recipes: Recipes, made: Path) -> None:
    assert cm.script("get,it,_large").returncode == 0
    for tags, count in (
        ("get,it", 2),
        ("get,it,_small", 1),
        ("get,it,-_small", 1),
        (f"script-artifact-{uid_of('get-it')}", 2),
        ("tmp", 0),
    ):
        assert len(listed(cm, "find", "cache", f"--tags={tags}")["list"]) == count, tags
    debris = leave_debris(cm, recipes)
    assert cm("find", "cache", "--tags=tmp").stdout.splitlines() == [str(debris)]
    assert cm("rm", "cache", "--tags=tmp", "-f").returncode == 0
    assert not debris.exists()
    assert made.exists()


def test_a_recipe_that_only_a_full_key_may_cache(cm: CM, recipes: Recipes) -> None:
    # To engines whose key covers tags alone it says cache: false.
    recipes.add("get-it", {**CACHED, "cache": False, "cache_by_inputs": True}, run=MAKE)
    assert "miss: first run" in cm.script("get,it").stdout
    assert "hit: " in cm.script("get,it").stdout
    assert "miss: SIZE changed '1' -> '2'" in cm.script("get,it", "--size=2").stdout


# rm


def test_rm_with_json_asks_on_stderr_only(cm: CM, made: Path) -> None:
    terminal, other_end = pty.openpty()
    try:
        process = subprocess.Popen(
            cm.command("rm", "cache", made.name, "-j"),
            cwd=cm.caller,
            env=cm.environment,
            stdin=other_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(terminal, b"y\n")
        out, said = process.communicate(timeout=60)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert "remove this entry? (y/N)" in said
    assert [each["uid"] for each in json.loads(out)["list"]] == [made.name]
    assert not made.exists()


# prune


def test_prune_alone_removes_only_what_broken_off_runs_left(
    cm: CM, recipes: Recipes, made: Path
) -> None:
    debris = leave_debris(cm, recipes)
    dry = cm("prune", "cache", "--dry_run").stdout
    assert re.search(rf"{debris.name} .*incomplete  would be removed", dry), dry
    [each] = listed(cm, "prune", "cache", "--dry_run")["removed"]
    size_bytes = each["size_bytes"]
    assert size_bytes == sum(path.stat().st_size for path in debris.iterdir())
    assert f"would free {size_bytes} B in 1 folder of" in dry
    assert debris.exists()
    assert f"freed {size_bytes} B in 1 folder of" in cm("prune", "cache").stdout
    assert not debris.exists()
    assert made.exists()
    assert "freed 0 B in 0 folders of" in cm("prune", "cache").stdout


def test_prune_by_age(cm: CM, made: Path) -> None:
    for age in ("1s", "30d", "2w", "1.5h", "90m"):
        assert listed(cm, "prune", "cache", f"--older_than={age}", "--dry_run")["is_dry"]
    assert cm("prune", "cache", "--older_than=1h").returncode == 0
    assert made.exists()
    backdate(made, "2020-01-01T00:00:00+00:00")
    [gone] = listed(cm, "prune", "cache", "--older_than=52w")["removed"]
    assert gone["uid"] == made.name
    assert not made.exists()


@pytest.mark.parametrize("age", ["30", "soon", "-3d", "3 months", "d"])
def test_prune_refuses_what_is_no_duration(cm: CM, age: str) -> None:
    done = cm("prune", "cache", f"--older_than={age}")
    assert done.returncode == 2
    assert f"--older_than={age} is no duration" in done.stderr
    assert "--older_than=30d" in done.stderr


def test_prune_refuses_an_option_that_it_does_not_know(cm: CM, made: Path) -> None:
    done = cm("prune", "cache", "--all", "--older=3d")
    assert done.returncode == 2
    assert "cm prune cache has no option --older" in done.stderr
    assert made.exists()


def test_prune_unused_keeps_what_another_entry_s_key_covers(cm: CM, made: Path) -> None:
    assert cm.script("get,above").returncode == 0
    [gone] = listed(cm, "prune", "cache", "--unused")["removed"]
    assert gone["recipe_alias"] == "get-above"
    assert made.exists()
    assert len(listed(cm, "prune", "cache", "--unused")["removed"]) == 1
    assert not made.exists()


def test_prune_by_tags(cm: CM, made: Path) -> None:
    assert cm.script("get,it,_large").returncode == 0
    [gone] = listed(cm, "prune", "cache", "--tags=get,it,_large")["removed"]
    assert "_large" in gone["tags"]
    assert made.exists()


def test_prune_leaves_data_unless_named(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-data", {**CACHED, "keep_across_versions": True}, run=MAKE)
    for way in ("get-data", "--all"):
        assert cm.script("get,data").returncode == 0
        data = next(cm.cache.glob("*/made.bin")).parent
        backdate(data, "2020-01-01T00:00:00+00:00")
        done = cm("prune", "cache", "--older_than=1d")
        assert "kept: it holds data: name its uid, or say --all" in done.stdout
        assert "data  kept until you remove them" in cm("show", "cache").stdout
        assert data.exists()
        assert cm("prune", "cache", way).returncode == 0
        assert not data.exists()


def test_prune_leaves_data_whose_entry_is_damaged_or_half_made(cm: CM, recipes: Recipes) -> None:
    half = leave_debris(cm, recipes, keep_across_versions=True)
    [kept] = listed(cm, "prune", "cache")["kept"]
    assert kept["uid"] == half.name
    (half / "cm-cached-state.json").write_text("{")
    [kept] = listed(cm, "prune", "cache")["kept"]
    assert kept["state"].startswith("damaged")
    assert half.exists()
    assert cm("prune", "cache", half.name).returncode == 0
    assert not half.exists()


def test_every_command_has_help(cm: CM) -> None:
    for action in ("show", "find", "rm", "prune"):
        shown = cm(action, "cache", "--help").stdout
        assert f"cm {action} cache" in shown, shown
