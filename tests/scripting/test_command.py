"""The main behaviours, as a user of ``cm`` sees them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from recipe_books import CM, Recipes


def one_spaced(text: str) -> str:
    """Return `text` with runs of blanks and line ends as one blank."""
    return " ".join(text.split())


@pytest.fixture
def chain(recipes: Recipes) -> None:
    recipes.add(
        "get-data",
        {
            "cache": True,
            "name": "Makes data",
            "input_mapping": {"size": "SIZE"},
            "input_description": {"size": {"desc": "how much", "type": "int"}},
            "default_env": {"SIZE": "1"},
            "new_env_keys": ["DATA"],
            "variations": {
                "small": {"group": "kind", "default": True, "desc": "a little"},
                "large": {"group": "kind"},
                "big": {"alias": "large"},
            },
        },
        run="""
            echo "making $SIZE"
            head -c "$SIZE" /dev/zero > data.bin
            echo "DATA=$PWD/data.bin" > tmp-run-env.out
        """,
    )
    recipes.add(
        "run-job",
        {
            "deps": [{"tags": "get,data", "names": ["data"]}],
            "input_mapping": {"word": "WORD", "secret_key": "SECRET_KEY"},
            "input_description": {"secret_key": {"desc": "for the store", "secret": True}},
            "new_env_keys": ["RESULT", "SECRET_KEY"],
        },
        run="""
            echo "job on $(wc -c < "$DATA") bytes: $WORD"
            echo "RESULT=$WORD" > tmp-run-env.out
        """,
    )


@pytest.mark.usefixtures("chain")
def test_a_second_run_comes_from_the_cache_and_says_so(cm: CM) -> None:
    first = cm.script("run,job", "--quiet", "--word=hello")
    assert first.returncode == 0, first.stderr
    assert "get-data _small miss: first run" in one_spaced(first.stdout)
    assert "job on 1 bytes: hello" in first.stdout
    second = cm("run", "script", "run job", "--word=hello")
    assert "making" not in second.stdout
    assert "hit: " in second.stdout
    assert "job on 1 bytes: hello" in second.stdout
    third = cm.script("run,job", "--size=5", "--adr.data.tags=_big")
    assert "miss: variations changed _small -> _big,_large; SIZE changed '1' -> '5'" in third.stdout
    assert "job on 5 bytes" in third.stdout


@pytest.mark.usefixtures("chain")
def test_entries_are_artifacts_of_cm(cm: CM) -> None:
    cm.script("run,job")
    cm.script("get,data,_large")
    entry = json.loads(next(cm.cache.glob("*/_cm.json")).read_text())
    assert entry["automation_uid"] == "541d6f712a6b464e"
    assert len(entry["uid"]) == 16
    found = cm("find", "cache", "--tags=get,data,_large").stdout.split()
    assert len(found) == 1
    assert (cm.cache / found[0]).is_dir()
    shown = cm("show", "cache", "--tags=get,-_large").stdout
    assert "_small" in shown
    assert "_large" not in shown
    assert "script-artifact-" in shown
    # cmind's own search, by its index and by a scan, sees them too.
    assert cm("reindex", "repo").returncode == 0
    common = cm("find", "cache,541d6f712a6b464e", "--tags=_large", "--common").stdout
    assert found[0] in common


@pytest.mark.usefixtures("chain")
def test_removing_entries(cm: CM) -> None:
    cm.script("get,data")
    cm.script("get,data,_large")
    asked = cm("rm", "cache", "--tags=get,data")
    assert asked.returncode == 2
    assert "nobody can be asked here" in asked.stderr
    assert len(cm.entries()) == 2
    assert cm("rm", "cache").returncode == 2
    nothing = cm("rm", "cache", "--tags=no-such-tag", "-f")
    assert (nothing.returncode, "no entry" in nothing.stderr) == (1, True)
    assert cm("rm", "cache", "--tags=_large", "--quiet").returncode == 0
    assert len(cm.entries()) == 1
    assert cm("rm", "cache", cm.entries()[0].parent.name, "-f").returncode == 0
    assert not cm.entries()
    assert "no entry" in cm("show", "cache").stdout


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("flag", ["-j", "--out=json"])
def test_json_has_stdout_for_itself(cm: CM, flag: str) -> None:
    done = cm.script("run,job", "--word=hello", "--secret_key=hunter22", flag)
    result = json.loads(done.stdout)
    assert result["return"] == 0
    assert result["new_env"] == {"RESULT": "hello", "SECRET_KEY": "***"}
    assert [step["recipe"] for step in result["recipes"]] == ["get-data", "run-job"]
    assert "job on 1 bytes" in done.stderr
    failed = cm.script("run,job", "--size=x", flag)
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["return"] == 2
    assert "--size must be a whole number" in failed.stderr


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("--tags=run,jbo",), 1, "run-job"),
        (("--tags=run,job,_nosuch",), 1, "has no variation _nosuch"),
        (("--tags=run,job", "--wrd=x"), 2, "did you mean --word?"),
        (("run", "job"), 2, "put them in quotes"),
        ((), 2, "usage: cm run script --tags="),
    ],
)
def test_errors_are_shown_once_and_without_noise(
    cm: CM, words: tuple[str, ...], status: int, text: str
) -> None:
    done = cm("run", "script", *words)
    assert done.returncode == status
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error:") == 1
    assert text in done.stderr
    assert "CM error" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("code", "status"), [("3", 3), ("42", 42), ("137", 137), ("256", 0)])
def test_the_exit_code_comes_through(cm: CM, recipes: Recipes, code: str, status: int) -> None:
    recipes.add("run-it", run=f"exit {code}")
    assert cm.script("run,it").returncode == status


def test_a_traceback_only_with_v(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", hooks="def preprocess(i):\n    raise ValueError('odd')\n")
    short, long = cm.script("run,it"), cm.script("run,it", "-v")
    assert short.returncode == long.returncode == 70
    assert short.stderr.startswith("error: run-it: customize.py:2: ValueError: odd\n")
    assert "Traceback" not in short.stderr
    assert "Traceback" in long.stderr


@pytest.mark.usefixtures("chain")
def test_a_dry_run_starts_nothing(cm: CM) -> None:
    dry = cm.script("run,job", "--fake_run")
    assert dry.returncode == 0
    assert "get-data _small would run, miss: first run" in one_spaced(dry.stdout)
    assert "run-job would run" in one_spaced(dry.stdout)
    assert "making" not in dry.stdout
    assert not cm.entries()
    cm.script("run,job")
    assert "hit: " in cm.script("run,job", "--fake_run").stdout


def test_a_dry_run_admits_what_it_cannot_know(cm: CM, recipes: Recipes) -> None:
    recipes.add("detect-it", {"new_env_keys": ["KIND"]})
    recipes.add("get-it", {"cache": True, "default_env": {}, "deps": [{"tags": "detect,it"}]})
    recipes.add("use-it")
    recipes.add(
        "run-it",
        {
            "deps": [{"tags": "get,it"}],
            "posthook_deps": [{"tags": "use,it"}, {"tags": "<<<KIND>>>,it"}],
        },
    )
    said = cm.script("run,it", "--fake_run").stdout
    assert "would hit or run: known when detect-it has run" in said
    assert "use-it would run" in one_spaced(said)
    assert "would run <<<KIND>>>,it: known when what stands before it has run" in said


@pytest.mark.usefixtures("chain")
def test_print_deps_gives_commands_that_work(cm: CM) -> None:
    said = cm.script("run,job", "--word=hello you", "--size=2", "--print_deps").stdout
    commands = [shlex.split(line) for line in said.splitlines() if "cm run" in line]
    assert commands == [
        ["cm", "run", "script", "--tags=get,data", "--size=2"],
        ["cm", "run", "script", "--tags=run,job", "--word=hello you", "--size=2"],
    ]
    again = [cm(*command[1:]) for command in commands]
    assert "hit: " in again[0].stdout
    assert "job on 2 bytes: hello you" in again[1].stdout


@pytest.mark.usefixtures("chain")
def test_print_deps_of_a_dry_run_starts_nothing(cm: CM) -> None:
    said = cm.script("run,job", "--size=2", "--print_deps", "--fake_run").stdout
    assert "cm run script --tags=get,data --size=2\n" in said
    assert "making" not in said
    assert not cm.entries()
    assert "--fake_run" in next(
        line for line in cm("run", "script", "--help").stdout.splitlines() if "print_deps" in line
    )


@pytest.mark.usefixtures("chain")
def test_help(cm: CM) -> None:
    usage = cm("run", "script", "--help")
    assert usage.returncode == 0
    assert "usage: cm run script --tags=" in usage.stdout
    one = cm.script("get,data,_large", "--help")
    assert one.returncode == 0
    for text in (
        "get-data: Makes data",
        "--size=INT",
        "how much [1]",
        "one of the group kind",
        "a little (default)",
        "the same as _large",
        "cached: yes",
    ):
        assert text in one.stdout
    assert not cm.entries()


@pytest.mark.usefixtures("chain")
def test_find_script(cm: CM) -> None:
    done = cm("find", "script", "--tags=get,data")
    assert done.stdout.split()[:2] == ["get-data", "get,data"]
    everything = cm("find", "script").stdout
    assert "run-job" in everything
    assert "run,job" in everything


@pytest.mark.usefixtures("chain")
def test_a_file_of_inputs(cm: CM) -> None:
    inputs = {"tags": "run,job", "word": "from a file", "adr": {"data": {"tags": "_large"}}}
    (cm.caller / "inputs.yaml").write_text(yaml.safe_dump(inputs))
    done = cm("run", "script", "@inputs.yaml", "--size=3")
    assert "job on 3 bytes: from a file" in done.stdout
    assert "get-data _large" in done.stdout


@pytest.mark.usefixtures("chain")
def test_silence(cm: CM) -> None:
    cm.script("get,data")
    assert cm.script("get,data", "-s").stdout == ""


@pytest.mark.usefixtures("chain")
def test_a_planted_secret_is_in_no_file_and_no_output(cm: CM, recipes: Recipes) -> None:
    secret = "hunter22-planted"
    recipes.add("run-bad", {"input_mapping": {"secret_key": "SECRET_KEY"}}, run="exit 5")
    for words in (
        ("run,job", "-j"),
        ("run,job", "-v"),
        ("run,bad", "-v"),
        ("run,bad", "-j"),
        ("run,job", "--fake_run", "--print_deps"),
    ):
        done = cm.script(*words, f"--secret_key={secret}", f"--env.OTHER_TOKEN={secret}x")
        assert secret not in done.stdout + done.stderr
    written = [path for path in cm.folder.parent.rglob("*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        assert secret.encode() not in path.read_bytes(), path


def test_a_folder_that_is_gone(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it")
    done = cm.script("run,it")
    assert done.returncode == 0
    gone = subprocess.run(
        [
            "sh",
            "-c",
            'mkdir gone; cd gone; rmdir ../gone; exec "$@"',
            "sh",
            *cm.command("run", "script", "--tags=run,it"),
        ],
        cwd=cm.caller,
        env=cm.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert gone.returncode == 1
    assert "the current folder does not exist any more" in gone.stderr


def test_a_cache_that_cannot_be_written(cm: CM, recipes: Recipes) -> None:
    recipes.add("get-it", {"cache": True, "default_env": {}})
    cm.cache.parent.mkdir(parents=True, exist_ok=True)
    cm.cache.write_text("a file where the folder should be")
    done = cm.script("get,it")
    assert done.returncode == 3
    assert "the CM cache cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("flag", ["-j", "--out=json"])
@pytest.mark.parametrize("words", [("find", "script"), ("find", "cache"), ("show", "cache")])
def test_lists_as_json(cm: CM, words: tuple[str, ...], flag: str) -> None:
    assert cm.script("get,data").returncode == 0
    done = cm(*words, "--tags=get,data", flag)
    listed = json.loads(done.stdout)["list"]
    assert [sorted(each)[-3:] for each in listed] != []
    first = listed[0]
    assert set(first["tags"]) >= {"get", "data"}
    assert Path(first["folder"]).is_dir()
    if words[1] == "script":
        assert first["variations"] == ["big", "large", "small"]
    else:
        assert (first["recipe_alias"], first["state"]) == ("get-data", "complete")
    if words[0] == "show":
        assert first["size_bytes"] > 0


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("flag", ["", "-j", "--out=json"])
@pytest.mark.parametrize(
    "words", [("find", "script"), ("show", "cache"), ("run", "script", "--tags=get,data")]
)
def test_a_closed_pipe_ends_quietly(cm: CM, words: tuple[str, ...], flag: str) -> None:
    assert cm.script("get,data").returncode == 0
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        cm.command(*words, *filter(None, [flag])),
        cwd=cm.caller,
        env=cm.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


@pytest.mark.parametrize("flag", ["-j", "--out=json"])
def test_json_holds_no_secret_under_a_plain_name(cm: CM, recipes: Recipes, flag: str) -> None:
    recipes.add(
        "run-it",
        {"input_mapping": {"pin": "PIN"}, "new_env_keys": ["URL", "ALL"], "new_state_keys": ["*"]},
        run="""
            echo "URL=scheme:$MY_TOKEN@host $PIN" > tmp-run-env.out
            echo "{\\"deep\\": [{\\"$MY_TOKEN\\": \\"x$MY_TOKEN\\"}]}" > tmp-run-state.json
            exit "${STATUS:-0}"
        """,
        hooks="""
            def preprocess(i):
                if i["env"].get("FAIL"):
                    raise ValueError(i["env"]["MY_TOKEN"])
        """,
    )
    words = ("--env.MY_TOKEN=hunter22-planted", "--pin=1234", flag)
    done = cm.script("run,it", *words)
    assert json.loads(done.stdout)["new_env"] == {"URL": "scheme:***@host 1234"}
    assert json.loads(done.stdout)["new_state"] == {"deep": [{"***": "x***"}]}
    failed = cm.script("run,it", *words, "--env.FAIL=1", "-v")
    assert json.loads(failed.stdout)["return"] == 70
    assert "ValueError: ***" in failed.stderr
    unknown = cm.script("run,it", *words, "--nosuch=hunter22-planted")
    for each in (done, failed, unknown):
        assert "hunter22-planted" not in each.stdout + each.stderr
