"""run.sh: values arrive unchanged, and nothing outlives the run."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from process_watch import has_open, running, running_threads, until
from recipe_books import Recipes

from cm4storage.core.errors import StorageFault
from cm4storage.core.records import replace
from cm4storage.scripting.actions import Repository
from cm4storage.scripting.toolbox.stage import parse_env_file

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from recipe_books import CM, Library

RETURN_VALUE = r"""
    printf 'OUT=%s\0' "$VALUE" > tmp-run-env.out
    env -0 | grep -qz '^VALUE=' || exit 9
"""
NASTY = [
    "`touch pwned`",
    "$(touch pwned)",
    "a\nb\r\n",
    "'\"\\",
    "${HOME}",
    "\t x ",
    "€ü🎉",
    "-n",
    "!",
]


VALUES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
).filter(lambda text: "<<<" not in text)
FUZZED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZED
@given(value=VALUES)
def test_values_reach_run_sh_and_come_back(recipes: Recipes, library: Library, value: str) -> None:
    if not (recipes.folder / "script" / "run-it").exists():
        recipes.add("run-it", {"new_env_keys": ["OUT"]}, run=RETURN_VALUE)
    assert library.env("run,it", env={"VALUE": value}) == {"OUT": value}
    assert not list(library.surroundings.local_folder.parent.rglob("pwned"))


EVERY_WAY = {
    "input_mapping": {"text": "BY_INPUT"},
    "env": {"BY_COPY": "<<<BY_ENV>>>"},
    "new_env_keys": ["OUT_*", "+OUT_LIST"],
}
RETURN_ALL = r"""
    for name in BY_INPUT BY_CONST BY_ENV BY_COPY LISTED "$NAME"; do
        printf 'OUT_%s=%s\0' "$name" "${!name}"
    done > tmp-run-env.out
"""


@FUZZED
@given(
    values=st.lists(VALUES, min_size=4, max_size=4),
    listed=st.lists(VALUES.filter(bool), min_size=1, max_size=3),
    name=st.from_regex(r"V_[A-Za-z0-9_]{1,20}", fullmatch=True),
)
def test_values_arrive_whichever_way_they_come(
    recipes: Recipes, library: Library, values: list[str], listed: list[str], name: str
) -> None:
    if not (recipes.folder / "script" / "run-it").exists():
        recipes.add("run-it", EVERY_WAY, run=RETURN_ALL)
        recipes.add("call-it", {**EVERY_WAY, "deps": [{"tags": "run,it"}]})
    by_input, by_const, by_env, named = values
    found = library.env(
        "call,it",
        text=by_input,
        const={"BY_CONST": by_const},
        env={"BY_ENV": by_env, name: named, "NAME": name, "+LISTED": listed, "LISTED": "end"},
    )
    assert found == {
        "OUT_BY_INPUT": by_input,
        "OUT_BY_CONST": by_const,
        "OUT_BY_ENV": by_env,
        "OUT_BY_COPY": by_env,
        "OUT_LISTED": ":".join([*listed, "end"]),
        f"OUT_{name}": named,
    }
    assert not list(library.surroundings.local_folder.parent.rglob("pwned"))


@pytest.mark.parametrize("value", NASTY)
def test_values_through_the_command(cm: CM, recipes: Recipes, value: str) -> None:
    recipes.add("run-it", {"new_env_keys": ["OUT"]}, run=RETURN_VALUE)
    done = cm.script("run,it", f"--env.VALUE={value}", "-j")
    assert done.returncode == 0, done.stderr
    # cmind strips what stands around a value on its command line.
    assert json.loads(done.stdout)["new_env"] == {"OUT": value.strip()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=x=y\n\nnot a variable\n", {"A": "1", "B": "x=y"}),
        ("A=1\0\nB=two\nlines\0", {"A": "1", "B": "two\nlines"}),
        ("A=\n", {"A": ""}),
        ("=x\n", {}),
    ],
)
def test_the_file_of_variables(text: str, expected: dict[str, str]) -> None:
    assert parse_env_file(text) == expected


def test_paths_with_blanks_and_quotes(tmp_path: Path, library: Library) -> None:
    odd = Recipes(tmp_path / "it's $(odd) `folder`")
    odd.add(
        "run-it",
        {"new_env_keys": ["HERE"]},
        run='echo "HERE=$(dirname "${BASH_SOURCE[0]}")" > tmp-run-env.out',
    )
    library.surroundings = replace(
        library.surroundings, repositories=[Repository("recipes", odd.folder)]
    )
    assert library.env("run,it") == {"HERE": str(odd.folder / "script" / "run-it")}


def test_a_bare_wait_does_not_wait_for_the_engine(recipes: Recipes, library: Library) -> None:
    recipes.add(
        "run-it", {"new_env_keys": ["A"]}, run="sleep 0.01 &\nwait\necho A=1 > tmp-run-env.out"
    )
    assert library.env("run,it") == {"A": "1"}


def test_stdin_is_never_waited_for(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="cat > /dev/null")
    assert cm.script("run,it").returncode == 0


LONG = """
    sleep 600 &
    touch started
    sleep 601
    echo "went on after the signal" > "$CM_TMP_CURRENT_PATH/went-on"
    sleep 602
"""


@pytest.fixture
def long_run(cm: CM, recipes: Recipes) -> Callable[..., subprocess.Popen[str]]:
    recipes.add("get-it", {"cache": True, "default_env": {}}, run=LONG)
    recipes.add("run-it", {"prehook_deps": [{"tags": "get,it"}]}, run="true")

    def start() -> subprocess.Popen[str]:
        process = cm.start("run", "script", "--tags=run,it", f"--env.MARKER={cm.folder}")
        assert until(lambda: list(cm.cache.glob("*/started")))
        return process

    return start


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_no_way_of_ending_leaves_a_process_or_an_entry(
    cm: CM,
    recipes: Recipes,
    long_run: Callable[[], subprocess.Popen[str]],
    number: int,
    status: int,
) -> None:
    process = long_run()
    assert len(running(str(cm.folder))) > 2
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert until(lambda: not running(str(cm.folder))), running(str(cm.folder))
    assert not cm.entries()
    assert not (cm.caller / "went-on").exists()
    if number != signal.SIGKILL:
        assert f"stopped by {signal.Signals(number).name}" in said
        assert "Traceback" not in said
        assert not list(cm.temporary.iterdir())
        assert not list(cm.cache.glob("*/started"))
    recipes.add("get-it", {"cache": True, "default_env": {}}, run="ls; test ! -e started")
    done = cm.script("run,it")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "miss: first run" in done.stdout


def test_a_process_that_ignores_signals_is_killed(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="trap '' TERM INT\ntouch started\nwhile true; do sleep 0.1; done")
    process = cm.start("run", "script", "--tags=run,it", f"--env.MARKER={cm.folder}")
    assert until(lambda: list(cm.temporary.glob("*/*/started")))
    process.send_signal(signal.SIGTERM)
    assert not until(lambda: process.poll() is not None, timeout_s=0.5)
    process.send_signal(signal.SIGTERM)  # the second one ends the patience
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert until(lambda: not running(str(cm.folder)))


def test_a_hook_is_interrupted_too(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        hooks="""
            import time
            def preprocess(i):
                open("started", "w").close()
                time.sleep(600)
        """,
    )
    process = cm.start("run", "script", "--tags=run,it")
    assert until(lambda: list(cm.temporary.glob("*/*/started")))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in said


HELPER = """
import os, socket
end = socket.socket(fileno=int(os.environ["MLPERF_STORAGE_LIFELINE_FD"]))
open("helper-started", "w").close()
while end.recv(1):
    pass
"""


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_helpers_on_the_lifeline_end_with_the_run(
    cm: CM, recipes: Recipes, number: signal.Signals | None
) -> None:
    folder = recipes.add(
        "run-it",
        run="""
            setsid python3 "$(dirname "${BASH_SOURCE[0]}")/helper.py" > /dev/null 2>&1 &
            while [ ! -e helper-started ]; do sleep 0.02; done
            touch started
            sleep "$FOR"
        """,
    )
    (folder / "helper.py").write_text(HELPER)
    seconds = "600" if number else "0"
    process = cm.start(
        "run", "script", "--tags=run,it", f"--env.FOR={seconds}", f"--env.MARKER={cm.folder}"
    )
    if number:
        assert until(lambda: list(cm.temporary.glob("*/*/started")))
        process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == {None: 0, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "still there" not in said
    assert until(lambda: not running(str(cm.folder)))


def test_folders_of_killed_runs_are_swept(library: Library, recipes: Recipes) -> None:
    recipes.add("run-it", run="true")
    temporary = library.surroundings.local_folder.parent / "tmp"
    for name, age_s in (("cm-run-old", 3600), ("cm-run-new", 0), ("other", 3600)):
        folder = temporary / name
        folder.mkdir()
        (folder / ".lock").touch()
        os.utime(folder, (time.time() - age_s,) * 2)
    library.run("run,it")
    assert sorted(path.name for path in temporary.iterdir()) == ["cm-run-new", "other"]


def test_what_is_left_of_a_killed_shell_is_ended(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="sleep 600 &\nkill -KILL $$\nsleep 601")
    done = cm.script("run,it", f"--env.MARKER={cm.folder}")
    assert done.returncode == 137
    assert until(lambda: not running(str(cm.folder)))


def test_no_zombie_is_left_to_init(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        run="""
            # Every process of this session that is still there when the shell is about to end.
            for stat in /proc/[0-9]*/stat; do
                read -r line < "$stat" || continue
                set -- ${line##*) }
                [ "$4" = $$ ] && echo "${stat//[^0-9]/}"
            done 2> /dev/null > "$CM_TMP_CURRENT_PATH/pids"
            true
        """,
    )
    assert cm.script("run,it").returncode == 0
    pids = (cm.caller / "pids").read_text().split()
    assert len(pids) > 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_daemon_that_run_sh_leaves_is_named(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="setsid sleep 20 > /dev/null 2>&1 &")
    done = cm.script("run,it")
    assert done.returncode == 0
    assert re.search(r"still there after 10 s: process \d+\n", done.stdout)


def test_a_full_disk_is_a_storage_fault(library: Library, recipes: Recipes) -> None:
    # /dev/full accepts a write and then says that there is no space.
    recipes.add(
        "run-it",
        run="true",
        hooks="""
        import os
        def preprocess(i):
            os.symlink("/dev/full", "tmp-run.sh")
    """,
    )
    with pytest.raises(StorageFault, match="run-it: No space left on device"):
        library.run("run,it")


def test_what_run_sh_leaves_in_the_background_is_ended(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "do-it",
        run="""
            sleep 600 &
            echo $! > "$CM_TMP_CURRENT_PATH/pids"
            ( trap '' TERM; sleep 601; sleep 602 ) &
            echo $! >> "$CM_TMP_CURRENT_PATH/pids"
        """,
    )
    recipes.add(
        "run-it",
        {"deps": [{"tags": "do,it"}]},
        run="""
            while read -r pid; do
                read -r line < "/proc/$pid/stat" || continue
                set -- ${line##*) }
                [ "$1" = Z ] || exit 9
            done 2> /dev/null < "$CM_TMP_CURRENT_PATH/pids"
            true
        """,
    )
    done = cm.script("run,it", f"--env.MARKER={cm.folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((cm.caller / "pids").read_text().split()) == 2
    assert "still there" not in done.stdout
    assert not running(str(cm.folder))


def test_threads_that_outlive_their_main_thread_are_ended(cm: CM, recipes: Recipes) -> None:
    # The kernel shows such a process as a zombie, though it runs and holds its files.
    recipes.add(
        "run-it",
        run="""
            python3 -c '
            import ctypes, sys, threading, time
            threading.Thread(target=time.sleep, args=(60,)).start()
            print("started", flush=True)
            ctypes.PyDLL(None).pthread_exit(None)
            ' "$MARKER" > "$CM_TMP_CURRENT_PATH/said" &
            echo $! > "$CM_TMP_CURRENT_PATH/pid"
            until [ -s "$CM_TMP_CURRENT_PATH/said" ]; do sleep 0.02; done
            sleep 0.1
        """,
    )
    done = cm.script("run,it", f"--env.MARKER={cm.folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "still there" not in done.stdout
    assert not running_threads((cm.caller / "pid").read_text().strip())


def test_a_hash_can_be_interrupted(cm: CM, recipes: Recipes) -> None:
    folder = recipes.add("run-it", {"cache": True})
    with (folder / "huge.bin").open("wb") as stream:
        stream.truncate(1 << 40)  # takes no space, and minutes to read
    process = cm.start("run", "script", "--tags=run,it")
    assert until(lambda: has_open(process.pid, folder / "huge.bin"))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
