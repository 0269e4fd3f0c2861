"""run.sh's output: shown at once, kept where it failed, without secrets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from process_watch import running, until
from terminals import COLUMNS, ROWS, Terminal

from cm4storage.scripting.console import Secrets
from cm4storage.scripting.logs import MOST_LOGS, Log
from cm4storage.scripting.relay import Redactor

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from recipe_books import CM, Recipes

SECRET = "hunter22-s3cr3t"


def logs(cm: CM) -> list[Path]:
    return sorted((cm.folder / "repos" / "local" / "logs").glob("*"))


def test_a_failed_script_leaves_its_log_and_the_error_names_it(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="echo one\necho two >&2\nprintf 'a\\r50%%\\r100%%\\n'\nexit 4")
    done = cm.script("run,it")
    assert done.returncode == 4
    (log,) = logs(cm)
    assert f"log: {log}" in done.stderr
    assert sorted(log.read_text().split()) == sorted(["one", "two", "a", "50%", "100%"])
    assert re.search(r"\| one\n", done.stderr)
    assert re.search(r"\| 100%\n", done.stderr)
    assert log.stat().st_mode & 0o077 == 0


def test_lines_just_shown_are_not_repeated(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="echo once-only\nexit 4")
    process = cm.start("run", "script", "--tags=run,it")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    assert said.count("once-only") == 1
    assert f"log: {logs(cm)[0]}" in said


def test_a_good_run_leaves_no_log(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="echo fine")
    assert cm.script("run,it").returncode == 0
    assert logs(cm) == []


def test_a_killed_run_leaves_its_log(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="echo so-far\nsleep 600")
    process = cm.start("run", "script", "--tags=run,it", f"--env.MARKER={cm.folder}")
    assert until(lambda: any("so-far" in log.read_text() for log in logs(cm)))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert "so-far" in logs(cm)[0].read_text()
    assert until(lambda: not running(str(cm.folder)))


def test_old_logs_go(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="exit 1")
    folder = cm.folder / "repos" / "local" / "logs"
    folder.mkdir()
    for number in range(MOST_LOGS + 5):
        old = folder / f"20200101T0000{number:02d}-old-1-1.log"
        old.write_text("old")
        os.utime(old, (1577836800, 1577836800))
    assert cm.script("run,it").returncode == 1
    names = [path.name for path in logs(cm)]
    assert len(names) == MOST_LOGS
    assert "20200101T000000-old-1-1.log" not in names
    assert "run-it" in names[-1]


def test_logs_of_runs_that_fail_together_stay(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="exit 1")
    folder = cm.folder / "repos" / "local" / "logs"
    folder.mkdir()
    for number in range(2 * MOST_LOGS):  # as of other runs
        (folder / f"20200101T0000{number:02d}-other-1-1.log").write_text("just now")
    assert cm.script("run,it").returncode == 1
    assert len(logs(cm)) == 2 * MOST_LOGS + 1


def test_streams_stay_apart_and_in_order(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="for n in 1 2 3; do echo out$n; echo err$n >&2; done")
    apart = cm.script("run,it")
    assert re.findall(r"(?:out|err)\d", apart.stdout) == ["out1", "out2", "out3"]
    assert re.findall(r"(?:out|err)\d", apart.stderr) == ["err1", "err2", "err3"]
    as_json = cm.script("run,it", "-j")
    assert "out1" not in as_json.stdout
    assert "out1" in as_json.stderr
    together = cm.start("run", "script", "--tags=run,it").communicate(timeout=60)[0]
    assert re.findall(r"(?:out|err)\d", together) == [
        f"{name}{n}" for n in (1, 2, 3) for name in ("out", "err")
    ]


def test_secrets_are_hidden_on_both_streams_and_in_the_log(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        {"input_mapping": {"pin": "PIN"}, "input_description": {"pin": {"secret": True}}},
        run="""
            echo "pin $PIN"; echo "pin $PIN" >&2
            printf 'in pieces '; for part in hunter 22-s 3cr3t; do printf %s $part; sleep 0.05; done
            echo " https://me:word@host/x"
            exit 1
        """,
    )
    done = cm.script("run,it", f"--pin={SECRET}")
    assert done.returncode == 1
    text = done.stdout + done.stderr + logs(cm)[0].read_text()
    assert SECRET not in text
    assert "me:word" not in text
    assert "in pieces *** https://***@host/x" in done.stdout
    assert "pin ***" in done.stderr


def test_signatures_that_a_script_has_made_are_hidden_too(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        run="""
            echo "https://bucket.host/key?X-Amz-Signature=PLANTED1&X-Amz-Date=1"
            for part in https: //account.host/c '?sv=1&' sig= PLANT ED2 ' done'; do
                printf %s "$part"; sleep 0.05
            done
            exit 1
        """,
    )
    done = cm.script("run,it")
    text = done.stdout + done.stderr + logs(cm)[0].read_text()
    assert "https://bucket.host/key?X-Amz-Signature=***&X-Amz-Date=1" in done.stdout
    assert "https://account.host/c?sv=1&sig=*** done" in done.stdout
    assert "PLANT" not in text


def test_a_daemon_that_holds_the_pipe_open_is_not_waited_for(cm: CM, recipes: Recipes) -> None:
    # Without the lifeline it is none of the run's helpers; it only has the streams.
    recipes.add(
        "run-it",
        run="""
            echo before
            fd=$MLPERF_STORAGE_LIFELINE_FD
            ( eval "exec $fd>&-"; exec setsid sleep 30 ) &
            echo $! > "$CM_TMP_CURRENT_PATH/pid"
        """,
    )
    done = cm.script("run,it")
    pid = int((cm.caller / "pid").read_text())
    os.kill(pid, signal.SIGKILL)  # it is still there, so nobody has waited for it
    assert done.returncode == 0, done.stderr
    assert "before" in done.stdout


def test_a_closed_reader_is_felt_as_in_any_pipeline(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="yes")
    command = " ".join(["'" + cm.command("run")[0] + "'", "run script --tags=run,it | head -n 3"])
    done = subprocess.run(
        ["bash", "-c", command],
        env=cm.environment,
        cwd=cm.caller,
        timeout=60,
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr


def test_a_terminal_stays_a_terminal(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "run-it",
        run="""
            [ -t 1 ] && [ -t 2 ] && echo both-terminals
            python3 -c 'import os; print("size", *os.get_terminal_size(1))'
            trap 'python3 -c "import os; print(\\"now\\", *os.get_terminal_size(1))"; exit 0' WINCH
            printf 'a prompt: '
            read -r answer
            echo "got $answer"
            while true; do sleep 0.1; done
        """,
    )
    terminal = Terminal(cm)
    terminal.start("run", "script", "--tags=run,it")
    terminal.wait_for("a prompt: ")
    assert "both-terminals\r\n" in terminal.shown
    assert f"size {COLUMNS} {ROWS}" in terminal.shown
    terminal.type("yes sir\n")
    terminal.wait_for("got yes sir")
    terminal.resize(20, 50)
    terminal.wait_for("now 50 20")
    assert terminal.end() == 0


def test_ctrl_c_on_a_terminal(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="echo begun\nsleep 600\necho went on")
    terminal = Terminal(cm)
    terminal.start("run", "script", "--tags=run,it", f"--env.MARKER={cm.folder}")
    terminal.wait_for("begun")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "stopped by SIGINT" in terminal.shown
    assert "went on" not in terminal.shown
    assert not running(str(cm.folder))


def test_a_prompt_is_not_held_back_though_it_may_begin_a_secret(cm: CM, recipes: Recipes) -> None:
    recipes.add("run-it", run="printf 'password for h'\nread -r x\necho \"<$x>\"")
    terminal = Terminal(cm)
    terminal.start("run", "script", "--tags=run,it", "--env.MY_PASSWORD=hunter22")
    terminal.wait_for("password for h")
    terminal.type("ok\n")
    terminal.wait_for("<ok>")
    assert terminal.end() == 0


@given(
    text=st.text("abc\n", max_size=60),
    secrets=st.lists(st.text("abc", min_size=4, max_size=8), max_size=3),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_secrets_are_found_however_the_stream_is_cut(
    text: str, secrets: list[str], cuts: list[int]
) -> None:
    known = Secrets()
    known.hide(secrets)
    redactor, data = Redactor(known), text.encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    passed = b"".join(redactor.feed(data[a:b]) for a, b in pairwise(edges))
    passed += redactor.rest()
    assert all(secret.encode() not in passed for secret in secrets)


def test_secrets_are_found_quoted_too() -> None:
    known = Secrets()
    known.hide(['a "b"\nline-of-key/x'])
    for form in ('a \\"b\\"\\nline-of-key/x', "a%20%22b%22%0Aline-of-key%2Fx", "line-of-key/x"):
        assert known.shown(f"<{form}>") == "<***>"
        assert known.shown_bytes(f"<{form}>".encode()) == b"<***>"


def test_a_huge_output_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cm4storage.scripting.logs.MOST_BYTES", 1000)
    log = Log(tmp_path / "x.log")
    for number in range(1000):
        log.write(b"%06d\n" % number)
    log.close()
    assert log.last_lines(2) == ["000998", "000999"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2100
    log.remove()
    assert list(tmp_path.iterdir()) == []
