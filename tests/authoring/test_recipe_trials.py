"""``cm test script``: the tests in recipes' metadata."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest
from rule_books import GOOD, HOOKS

if TYPE_CHECKING:
    from recipe_books import CM
    from rule_books import Book

BASE = GOOD[: GOOD.index("tests:")]


def with_tests(*lines: str) -> str:
    """Return a recipe with these lines as its ``run_inputs``."""
    return f"{BASE}tests:\n  run_inputs:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.slow
def test_our_own_recipes_pass_their_tests(cm: CM) -> None:
    done = cm("test", "script", "--repo=cm4storage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed, 0 skipped" in done.stdout


def test_a_test_that_passes(book: Book) -> None:
    book.write()
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 0, done.stdout + done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("passed  get-thing")
    assert "1: makes one" in first
    assert last == "1 test: 1 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ('env: {OWN_THING: "2"}', "OWN_THING is '1', not '2'"),
        ('env: {OWN_OTHER: "1"}', "OWN_OTHER is not among the outputs"),
        ("env_matches: {OWN_THING: '[a-z]'}", "OWN_THING is '1': '[a-z]' is not in it"),
        ("output: [no such words]", "'no such words' is not in what it prints"),
        ("exit_code: 3", "the exit code is 0, not 3"),
    ],
)
def test_a_test_that_fails_says_why_and_what_was_printed(
    book: Book, expect: str, says: str
) -> None:
    folder = book.write(text=with_tests(f"- expect: {{{expect}}}"))
    (folder / "run.sh").write_text("echo words of run.sh\n")
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 1
    assert says in done.stdout
    assert "| words of run.sh" in done.stdout
    assert "1 test: 0 passed, 1 failed, 0 skipped" in done.stderr


def test_what_a_recipe_prints_and_how_it_ends_can_be_expected(book: Book) -> None:
    folder = book.write(
        text=with_tests(
            "- expect: {exit_code: 4, output: [it breaks, exit code 4]}",
            "- size: 0",
            "  expect: {exit_code: 2, output: must be at least 1}",
        )
    )
    (folder / "run.sh").write_text("echo it breaks\nexit 4\n")
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 0, done.stdout


def test_each_set_of_variations_is_a_test(book: Book) -> None:
    book.write(text=with_tests('- variations_list: ["", _blue, -_blue]'))
    done = book.cm("test", "script", "--tags=get,thing", "-j")
    assert [each["variations"] for each in json.loads(done.stdout)["tests"]] == [
        [],
        ["_blue"],
        ["-_blue"],
    ]
    done = book.cm("test", "script", "--tags=get,thing,_blue", "-j")
    assert [each["variations"] for each in json.loads(done.stdout)["tests"]] == [["_blue"]]


def test_a_failure_in_json(book: Book) -> None:
    book.write(text=with_tests("- expect: {exit_code: 3}"))
    done = book.cm("test", "script", "--tags=get,thing", "-j")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["return"] == 1
    assert (answer["passed"], answer["failed"]) == (0, 1)
    assert answer["tests"][0]["problems"] == ["the exit code is 0, not 3"]


def test_a_test_that_needs_what_the_machine_lacks_is_skipped(book: Book) -> None:
    book.write(text=with_tests("- needs: [bash, no-such-program]", "- needs: [bash]"))
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 0
    assert "needs no-such-program" in done.stdout
    assert "2 tests: 1 passed, 0 failed, 1 skipped" in done.stdout


def test_tests_know_nothing_of_the_users_cache_and_leave_nothing(book: Book) -> None:
    folder = book.write()
    (folder / "run.sh").write_text("pwd; touch made\n")
    assert book.cm("run", "script", "--tags=get,thing", "--size=2").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in book.cm.cache.rglob("*")}
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 0, done.stdout
    assert {path: path.stat().st_mtime_ns for path in book.cm.cache.rglob("*")} == before
    assert list(book.cm.temporary.iterdir()) == []
    assert list(book.cm.caller.iterdir()) == []


def test_a_recipe_runs_itself_in_each_test_though_its_result_is_cached(book: Book) -> None:
    folder = book.write(
        text=with_tests("- expect: {output: it runs}", "- expect: {output: it runs}")
    )
    (folder / "run.sh").write_text("echo it runs\n")
    done = book.cm("test", "script", "--tags=get,thing")
    assert "2 tests: 2 passed" in done.stdout


def test_secrets_of_a_test_do_not_appear(book: Book) -> None:
    secret = "planted-secret-4711"
    book.write(
        text=with_tests(f"- const: {{OWN_PASSWORD: {secret}}}", "  expect: {exit_code: 9}"),
        hooks=HOOKS.replace(
            '    i["env"]["OWN_THING"]',
            '    print(i["env"]["OWN_PASSWORD"])\n    i["env"]["OWN_THING"]',
        ),
    )
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 1
    assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE, "there is no test to run"),
        (f"{BASE}tests:\n  run_inputs: one\n", "tests.run_inputs must be a list"),
        (with_tests("- expect: {env_matches: {OWN_THING: '['}}"), "is no regular expression"),
        (with_tests("- just words"), "are mappings"),
    ],
)
def test_recipes_whose_tests_cannot_be_run(book: Book, text: str, says: str) -> None:
    book.write(text=text)
    done = book.cm("test", "script", "--tags=get,thing")
    assert done.returncode == 1
    assert says in done.stderr


def test_an_interrupted_test_leaves_nothing(book: Book) -> None:
    folder = book.write(text=with_tests("- desc: never ends"))
    (folder / "run.sh").write_text("touch started\nsleep 600\n")
    running = book.cm.start("test", "script", "--tags=get,thing")
    while not list(book.cm.temporary.rglob("started")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 143, said
    assert "stopped by SIGTERM" in said
    assert list(book.cm.temporary.iterdir()) == []
