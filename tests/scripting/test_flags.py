"""The flags of ``cm run script`` that show, save, record or ask."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from recipe_books import uid_of
from terminals import Terminal

if TYPE_CHECKING:
    from recipe_books import CM, Recipes

NASTY = 'it\'s $(touch pwned) `touch pwned` "x"\n\\ ${HOME} ü'


@pytest.fixture
def book(recipes: Recipes) -> None:
    recipes.add(
        "get-part",
        {"new_env_keys": ["PART"], "deps": [{"tags": "get,bolt", "names": ["bolt"]}]},
        run="echo PART=made > tmp-run-env.out",
    )
    recipes.add("get-bolt", {"variations": {"long": {}, "short": {}}}, run="true")
    recipes.add(
        "run-it",
        {
            "deps": [{"tags": "get,part"}],
            "input_mapping": {"text": "TEXT"},
            "new_env_keys": ["TEXT", "+PATH", "PART", "MY_TOKEN", "odd name", "NUMBERS"],
            "env": {"+PATH": ["/opt/it's/bin"], "odd name": "x", "NUMBERS": ["1", "2"]},
        },
        run="true",
    )


@pytest.mark.usefixtures("book")
def test_print_env(cm: CM) -> None:
    done = cm.script("run,it", "--text=hello", "--env.MY_TOKEN=pl4nted", "--print_env")
    lines = done.stdout.splitlines()
    assert [line for line in lines if "=" in line][-6:] == [
        "+PATH=/opt/it's/bin",
        "MY_TOKEN=***",
        "NUMBERS=1,2",
        "PART=made",
        "TEXT=hello",
        "odd name=x",
    ]


def sourced(cm: CM, *names: str) -> dict[str, str]:
    """Return variables in a shell that has sourced the file."""
    values = " ".join(f'"${{{name}-}}"' for name in names)
    code = f"set -eu; . ./cm-env.sh; printf '%s\\0' {values}"
    done = subprocess.run(
        ["bash", "-c", code], cwd=cm.caller, env=cm.environment, capture_output=True, check=True
    )
    return dict(zip(names, done.stdout.decode().split("\0"), strict=False))


@pytest.mark.usefixtures("book")
def test_save_env_can_be_sourced_safely(cm: CM) -> None:
    (cm.caller / "call.json").write_text(json.dumps({"text": NASTY}))
    done = cm.script("run,it", "@call.json", "--env.MY_TOKEN=pl4nted", "--save_env")
    assert done.returncode == 0, done.stderr
    assert "secrets: MY_TOKEN" in done.stdout
    assert sourced(cm, "TEXT", "PART", "PATH", "NUMBERS", "MY_TOKEN") == {
        "TEXT": NASTY,
        "PART": "made",
        "PATH": f"/opt/it's/bin:{cm.environment['PATH']}",
        "NUMBERS": "1,2",
        "MY_TOKEN": "",
    }
    assert not (cm.caller / "pwned").exists()
    saved = json.loads((cm.caller / "cm-env.json").read_text())
    assert saved["env"]["TEXT"] == NASTY
    assert saved["left_out"] == ["MY_TOKEN"]
    text = (cm.caller / "cm-env.sh").read_text()
    assert "left out, because it is a secret: 'MY_TOKEN'" in text
    assert "'odd name' is no name that a shell knows" in text


@pytest.mark.usefixtures("book")
def test_time_counts_each_recipe_once(cm: CM) -> None:
    done = cm.script("run,it", "--time", "-j")
    laps = json.loads(done.stdout)["times"]
    assert [(lap["depth"], lap["recipe"]) for lap in laps] == [
        (0, "run-it"),
        (1, "get-part"),
        (2, "get-bolt"),
    ]
    assert sum(lap["own_s"] for lap in laps) == pytest.approx(laps[0]["total_s"])
    assert laps[1]["total_s"] == pytest.approx(laps[1]["own_s"] + laps[2]["total_s"])
    assert "own, s" in done.stderr
    assert "times" not in json.loads(cm.script("run,it", "-j").stdout)


@pytest.mark.usefixtures("book")
def test_a_record_says_what_ran_and_repeats_it(cm: CM) -> None:
    cm.environment["MLPERF_STORAGE_CM_COMMAND"] = shlex.quote(cm.command()[0])
    cm.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    done = cm.script("run,it", "--text=hello you", "--adr.bolt.tags=_long", "--repro")
    (folder,) = (cm.caller / "cm-repro").iterdir()
    assert f"recorded: {folder}" in done.stdout
    ran = json.loads((folder / "recipes.json").read_text())
    assert [each["recipe"] for each in ran] == ["get-bolt", "get-part", "run-it"]
    assert ran[2]["uid"] == uid_of("run-it")
    assert set(ran[2]["code"]) >= {"_cm.yaml", "run.sh"}
    assert json.loads((folder / "request.json").read_text())["text"] == "hello you"
    assert json.loads((folder / "result.json").read_text())["new_env"]["TEXT"] == "hello you"
    about = json.loads((folder / "environment.json").read_text())
    assert about["packages"]["cmind"]
    again = subprocess.run(
        ["sh", folder / "command.sh"],  # which knows where cm and its repositories are
        env={k: v for k, v in cm.environment.items() if k != "CM_REPOS"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "get-bolt _long" in again.stdout
    first, second = sorted((cm.caller / "cm-repro").iterdir())
    results = [json.loads((each / "result.json").read_text()) for each in (first, second)]
    assert results[0] == results[1]


def test_a_failed_run_is_recorded_too(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="exit 4")
    assert cm.script("run,it", "--repro").returncode == 4
    (folder,) = (cm.caller / "cm-repro").iterdir()
    assert "run.sh: exit code 4" in json.loads((folder / "result.json").read_text())["error"]


@pytest.mark.usefixtures("book")
def test_a_shell_has_the_variables_and_is_not_guarded(cm: CM) -> None:
    terminal = Terminal(cm)
    terminal.start("run", "script", "--tags=run,it", "--text=hello", "--shell")
    terminal.wait_for("exit ends it")
    terminal.type('echo "<$TEXT/$PART/$PWD>"; case $PATH in *guards*) echo GUARDED;; esac\n')
    terminal.wait_for(f"<hello/made/{cm.caller}>")
    terminal.type("exit\n")
    assert terminal.end() == 0
    assert "\nGUARDED" not in terminal.shown


@pytest.mark.usefixtures("book")
def test_a_shell_without_a_terminal_is_refused_before_anything_runs(cm: CM) -> None:
    done = cm.script("run,it", "--shell")
    assert done.returncode == 1
    assert "--shell needs a terminal" in done.stderr
    assert "--save_env" in done.stderr
    assert "get-bolt" not in done.stdout


def test_name_and_extra_cache_tags_make_entries_of_their_own(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "get-it",
        {"cache": True, "new_env_keys": ["NAMED"]},
        run='echo "NAMED=<$CM_NAME>" > tmp-run-env.out',
    )
    assert "miss" in cm.script("get,it").stdout
    named = cm.script("get,it", "--name=First", "--extra_cache_tags=a,b", "-j")
    assert json.loads(named.stdout)["new_env"] == {"NAMED": "<First>"}
    assert "hit" in cm.script("get,it", "--name=First", "--extra_cache_tags=a,b").stdout
    assert "miss" in cm.script("get,it", "--name=second").stdout
    assert "hit" in cm.script("get,it").stdout
    assert len(cm("find", "cache", "--tags=name-first").stdout.split()) == 1
    assert len(cm("find", "cache", "--tags=b,get").stdout.split()) == 1


def test_own_flags_are_inputs_where_a_recipe_has_them(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        {"input_mapping": {"name": "WHO"}, "new_env_keys": ["SEEN"]},
        run='echo "SEEN=<${CM_NAME-unset}/$WHO/$CM_OUTDIRNAME>" > tmp-run-env.out',
    )
    done = cm.script("run,it", "--name=me", "--outdirname=here", "-j")
    assert json.loads(done.stdout)["new_env"] == {"SEEN": f"<unset/me/{cm.caller}/here>"}


def test_force_cache(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", {"can_force_cache": True}, run="true")
    recipes.add("run-it", run="true")
    assert "miss" in cm.script("get,it", "--force_cache").stdout
    assert "hit" in cm.script("get,it", "--force_cache").stdout
    assert "hit" not in cm.script("get,it").stdout
    refused = cm.script("run,it", "--force_cache")
    assert refused.returncode == 1
    assert "run-it cannot be cached: its metadata does not allow it" in refused.stderr


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_flags_from_a_file(cm: CM, recipes: Recipes, kind: str) -> None:
    recipes.add(
        "run-it", {"input_mapping": {"text": "TEXT"}, "new_env_keys": ["TEXT", "X"]}, run="true"
    )
    call = {"tags": "run,it", "text": "from the file", "env": {"X": "1"}, "j": True}
    (cm.caller / f"call.{kind}").write_text(json.dumps(call))  # JSON is YAML, too
    done = cm("run", "script", f"@call.{kind}")
    assert json.loads(done.stdout)["new_env"] == {"TEXT": "from the file", "X": "1"}
    missing = cm("run", "script", "@none.yaml")
    assert missing.returncode != 0
    assert "none.yaml" in missing.stdout + missing.stderr


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--no_such_flag=1", "no recipe of this run knows the input --no_such_flag"),
        ("--tme", "did you mean --time?"),
        ("--ignore_script_error", "never taken for one that did not"),
        ("--debug_script", "--shell"),
    ],
)
def test_unknown_flags_are_refused(cm: CM, recipes: Recipes, flag: str, said: str) -> None:
    recipes.add("run-it", run="true")
    done = cm.script("run,it", flag)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_command_of_a_failing_recipe_repeats_what_reaches_it(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "get-bolt", {"variations": {"long": {}}}, run='[ "$CM_VERSION_MIN" != 2.0 ] || exit 5'
    )
    recipes.add("get-nut", run="true")
    recipes.add(
        "get-part",
        {
            "deps": [{"tags": "get,bolt", "names": ["bolt"]}],
            "post_deps": [{"tags": "get,nut", "names": ["nut"]}],
        },
        run='[ "$CM_NAME" != bad ] || exit 6\nexit 7',
    )
    recipes.add("run-it", {"deps": [{"tags": "get,part", "names": ["part"]}]}, run="true")
    words = ("--adr.bolt.tags=_long", "--adr.part.env.X=1 2")
    done = cm.script("run,it", *words)
    assert done.returncode == 7
    command = next(x.strip() for x in done.stderr.splitlines() if "cm run script" in x)
    assert "--adr.bolt.tags=_long" in command
    assert "--adr.part" not in command  # no dependency of get-part has that name
    alone = cm(*shlex.split(command)[1:])
    assert alone.returncode == 7
    assert "get-bolt _long" in alone.stdout
    named = cm.script("get,part", "--name=bad", "--version_min=1.0", "--ad.nut.tags=_x")
    assert named.returncode == 6
    assert "--name=bad" in named.stderr
    assert "--version_min=1.0" in named.stderr
    assert "--ad.nut.tags=_x" in named.stderr
