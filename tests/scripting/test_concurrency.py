"""Runs at the same time share entries without hurting each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
