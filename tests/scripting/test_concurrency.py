"""Runs at the same time share entries without hurting each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from process_watch import until
from recipe_books import USES

if TYPE_CHECKING:
    from recipe_books import CM, Recipes


def test_ten_identical_runs_make_one_entry(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "get-it",
        {"cache": True, "default_env": {}, "new_env_keys": ["PLACE"]},
        run="""
            echo built >> "$CM_TMP_CURRENT_PATH/builds"
            sleep 1
            echo "PLACE=$PWD" > tmp-run-env.out
        """,
    )
    recipes.add(
        "run-it",
        {"deps": [{"tags": "get,it"}], "new_env_keys": ["PLACE"]},
        run='test -d "$PLACE" && echo "place $PLACE"',
    )
    cm("find", "script")  # warms cmind's own index, which has a race when it is first made
    processes = [cm.start("run", "script", "--tags=run,it") for _ in range(10)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 10, said
    assert len(cm.entries()) == 1
    assert (cm.caller / "builds").read_text() == "built\n"
    assert sum("miss: first run" in text for text in said) == 1
    assert sum("hit: " in text for text in said) == 9
    assert any("waiting: another run is making the same entry" in text for text in said)
    assert not list(cm.temporary.iterdir())


def test_different_keys_do_not_wait_for_each_other(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "get-it",
        {"cache": True, "input_mapping": {"n": "N"}},
        run="""
            # Ends only when both runs are inside at the same time.
            cd "$CM_TMP_CURRENT_PATH"
            touch "inside-$N"
            for _ in $(seq 1500); do
                [ -e inside-1 ] && [ -e inside-2 ] && exit 0
                sleep 0.02
            done
            exit 1
        """,
    )
    cm("find", "script")
    processes = [cm.start("run", "script", "--tags=get,it", f"--n={n}") for n in (1, 2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert len(cm.entries()) == 2


# Damaged entries that others use

MADE: dict[str, Any] = {"cache": True, "default_env": {}, "new_env_keys": ["DATA"]}
MAKE = 'echo made > data.bin; echo "DATA=$PWD/data.bin" > tmp-run-env.out'


def damage(cm: CM) -> None:
    for path in cm.cache.glob("*/data.bin"):
        path.unlink()


def test_two_runs_that_find_each_others_entries_damaged_both_end(cm: CM, recipes: Recipes) -> None:
    for name in ("get-one", "get-two"):
        recipes.add(name, MADE, run=MAKE)
    for first, second in (("one", "two"), ("two", "one")):
        recipes.add(
            f"use-{first}",
            {"deps": [{"tags": f"get,{first}"}, {"tags": "wait,now"}, {"tags": f"get,{second}"}]},
        )
    recipes.add(
        "wait-now",
        run="""
            cd "$CM_TMP_CURRENT_PATH"
            touch "ready-$$"
            while [ ! -e go-on ]; do sleep 0.02; done
        """,
    )
    for name in ("one", "two"):
        assert cm.script(f"get,{name}").returncode == 0
    runs = [cm.start("run", "script", f"--tags=use,{name}") for name in ("one", "two")]
    assert until(lambda: len(list(cm.caller.glob("ready-*"))) == 2)
    damage(cm)
    (cm.caller / "go-on").touch()
    try:
        said = [run.communicate(timeout=30)[0] for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [run.returncode for run in runs] == [0, 0], said
    reason = "run, not cached: the entry was damaged, and another run uses it"
    assert any(reason in text for text in said), said
    assert not list(cm.temporary.iterdir())


def test_ten_runs_that_find_an_entry_damaged_make_it_once(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", MADE, run=f'{MAKE}; echo x >> "$CM_TMP_CURRENT_PATH/builds"; sleep 0.5')
    assert cm.script("get,it").returncode == 0
    damage(cm)
    runs = [cm.start("run", "script", "--tags=get,it") for _ in range(10)]
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 10, said
    assert (cm.caller / "builds").read_text().split() == ["x", "x"]
    assert sum("hit: " in text for text in said) == 9


def test_data_in_use_are_taken_up_again_without_waiting(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", {**MADE, "keep_across_versions": True}, run=MAKE)
    recipes.add(
        "use-it",
        {"deps": [{"tags": "get,it"}]},
        run=USES,
    )
    user = cm.start("run", "script", "--tags=use,it")
    assert until((cm.caller / "using").exists)
    next(cm.cache.glob("*/data.bin")).with_name("more.bin").touch()
    damage(cm)
    done = cm.script("get,it")
    (cm.caller / "enough").touch()
    said, _ = user.communicate(timeout=60)
    assert user.returncode == 0, said
    assert "data.bin is missing" in done.stdout
    assert len(list(cm.cache.glob("*/more.bin"))) == len(cm.entries()) == 1


# Many runs


def test_fifty_identical_runs_make_one_entry(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", MADE, run=f'{MAKE}; echo x >> "$CM_TMP_CURRENT_PATH/builds"')
    cm("find", "script")
    runs = [cm.start("run", "script", "--tags=get,it") for _ in range(50)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 50, said
    assert (cm.caller / "builds").read_text() == "x\n"
    assert sum("hit: " in text for text in said) == 49


def test_fifty_different_runs_make_fifty_entries_that_are_found(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", {**MADE, "variations": {"n.#": {"env": {"N": "#"}}}}, run=MAKE)
    cm("find", "script")
    runs = [cm.start("run", "script", f"--tags=get,it,_n.{n}") for n in range(50)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 50, said
    found = json.loads(cm("find", "cache", "--tags=get,it", "-j").stdout)["list"]
    variations = {tag for each in found for tag in each["tags"] if tag.startswith("_n.")}
    assert variations == {f"_n.{n}" for n in range(50)}
    seventeenth = json.loads(cm("find", "cache", "--tags=get,it,_n.17", "-j").stdout)["list"]
    assert len(seventeenth) == 1
