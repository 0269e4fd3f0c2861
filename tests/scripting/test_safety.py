"""Recipes change nothing of the system unasked, and no secret is written anywhere."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

import pytest
from terminals import Terminal

from cm4storage.scripting.guard_command import NAMES, judge

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM, Recipes

PLANTED = "pl4nted-s3cret"
INSTALL = "sudo apt-get update && sudo DEBIAN_FRONTEND=noninteractive apt-get install -y wget zip"


@pytest.fixture
def called(cm: CM, tmp_path: Path) -> Path:
    """Put commands before the real ones that only note how they were called."""
    folder = tmp_path / "fake bin"
    folder.mkdir()
    noted = tmp_path / "called"
    for name in ("sudo", "apt-get", "apt", "dnf", "rpm", "dpkg"):
        text = f'#!/bin/sh\necho "$(basename "$0") $*" >> {shlex.quote(str(noted))}\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    # Of all packages, only zip is there.
    query = '#!/bin/sh\n[ "$3" = zip ] && printf installed\n'
    (folder / "dpkg-query").write_text(query)
    (folder / "dpkg-query").chmod(0o755)
    cm.environment["PATH"] = f"{folder}{os.pathsep}{cm.environment['PATH']}"
    return noted


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_nothing_is_installed_unasked(cm: CM, recipes: Recipes, called: Path) -> None:
    recipes.add("get-tools", {"cache": True}, run=INSTALL)
    recipes.add("run-it", {"deps": [{"tags": "get,tools"}]})
    done = cm.script("run,it", "--quiet")
    assert done.returncode == 1
    assert lines_of(called) == []
    assert "get-tools: needs system packages: wget\n" in done.stderr
    assert "run-it > get-tools, phase run.sh" in done.stderr
    assert "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y wget zip" in done.stderr
    assert "cm run script --tags=get,tools --allow_sudo" in done.stderr
    assert not cm.entries()


def test_going_on_after_a_refusal_is_no_success(cm: CM, recipes: Recipes, called: Path) -> None:
    recipes.add("get-tools", {"cache": True}, run=f"{INSTALL}\ndnf -y install wget\ntrue")
    done = cm.script("get,tools")
    assert done.returncode == 1
    assert "needs system packages: wget\n" in done.stderr
    assert "dnf -y install wget" in done.stderr
    assert not cm.entries()
    assert lines_of(called) == ["rpm -q --whatprovides wget"]


def test_what_is_asked_for_is_done(cm: CM, recipes: Recipes, called: Path) -> None:
    recipes.add("get-tools", run=INSTALL)
    done = cm.script("get,tools", "--allow_sudo")
    assert done.returncode == 0, done.stderr
    assert lines_of(called) == [
        "sudo apt-get update",
        "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y wget zip",
    ]


def test_questions_and_what_is_there_already_pass(cm: CM, recipes: Recipes, called: Path) -> None:
    recipes.add(
        "get-tools",
        {"cache": True, "new_env_keys": ["PATH", "FOUND"]},
        run="""
            set -e
            apt list --installed
            apt-get --version
            dpkg -s wget
            apt-get update
            apt-get install -y zip
            sudo -n true && exit 9
            echo "PATH=$PATH" > tmp-run-env.out
            echo "FOUND=yes" >> tmp-run-env.out
        """,
    )
    done = cm.script("get,tools", "-j")
    assert done.returncode == 0, done.stderr
    assert lines_of(called) == ["apt list --installed", "apt-get --version", "dpkg -s wget"]
    assert json.loads(done.stdout)["new_env"] == {"PATH": cm.environment["PATH"], "FOUND": "yes"}
    assert len(cm.entries()) == 1


def test_customize_is_refused_too(cm: CM, recipes: Recipes, called: Path) -> None:
    recipes.add(
        "get-tools",
        hooks="""
            import os
            def preprocess(i):
                os.system("apt-get install -y wget")
                return {"return": 0}
        """,
    )
    done = cm.script("get,tools")
    assert done.returncode == 1
    assert "get-tools: needs system packages: wget" in done.stderr
    assert lines_of(called) == []


def test_a_path_of_the_recipes_own_does_not_go_round_it(
    cm: CM, recipes: Recipes, called: Path
) -> None:
    folder = called.parent / "fake bin"
    recipes.add(
        "get-tools", {"env": {"PATH": f"{folder}:/usr/bin:/bin"}}, run="apt-get remove -y wget"
    )
    done = cm.script("get,tools")
    assert done.returncode == 1
    assert "get-tools: needs sudo" in done.stderr
    assert "apt-get remove -y wget" in done.stderr
    assert lines_of(called) == []


def test_root_needs_no_sudo_where_there_is_none(cm: CM, recipes: Recipes, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only for root")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bash", "sh", "env", "touch", "dirname"):
        (bare / name).symlink_to(f"/bin/{name}" if name in ("bash", "sh") else f"/usr/bin/{name}")
    cm.environment["PATH"] = str(bare)
    recipes.add("run-it", run="sudo X=1 sh -c 'touch \"$CM_TMP_CURRENT_PATH/made-$X\"'")
    done = cm.script("run,it", "--allow_sudo")
    assert done.returncode == 0, done.stderr
    assert (cm.caller / "made-1").exists()
    assert cm.script("run,it").returncode == 1


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("apt-get install -y foo", "refuse"),
        ("apt-get -y -o A::B=c install foo", "refuse"),
        ("apt-get -s install foo", "pass"),
        ("apt-get update", "refresh"),
        ("apt-get -qq update", "refresh"),
        ("apt-get upgrade", "refuse"),
        ("apt-get autoremove", "refuse"),
        ("apt search foo", "pass"),
        ("aptitude -y -v install foo", "refuse"),
        ("aptitude search foo", "pass"),
        ("aptitude --version", "pass"),
        ("apt-get", "pass"),
        ("sudo apt-get update", "refresh"),
        ("sudo -E apt-get install foo", "refuse"),
        ("sudo -u postgres psql", "refuse"),
        ("sudo make install", "refuse"),
        ("sudo -n true", "probe"),
        ("sudo -v", "probe"),
        ("sudo --version", "pass"),
        ("sudo apt list", "refuse"),
        ("yum -v install foo", "refuse"),
        ("dnf info foo", "pass"),
        ("zypper in foo", "refuse"),
        ("zypper --non-interactive se foo", "pass"),
        ("pacman -Qi foo", "pass"),
        ("pacman -Ss foo", "pass"),
        ("pacman -Syu", "refuse"),
        ("pacman -S --noconfirm foo", "refuse"),
        ("apk add foo", "refuse"),
        ("apk info -e foo", "pass"),
        ("brew install foo", "refuse"),
        ("brew --prefix foo", "pass"),
        ("dpkg -i foo.deb", "refuse"),
        ("dpkg -iE foo.deb", "refuse"),
        ("dpkg -Ri folder", "refuse"),
        ("dpkg -r foo", "refuse"),
        ("dpkg --list", "pass"),
        ("dpkg -l foo", "pass"),
        ("dpkg -s foo", "pass"),
        ("dpkg -L foo", "pass"),
        ("rpm -qi foo", "pass"),
        ("rpm -ivh foo.rpm", "refuse"),
        ("rpm --import key", "refuse"),
        ("rpm --setperms foo", "refuse"),
        ("rpm --setugids -a", "refuse"),
        ("rpm --restore foo", "refuse"),
        ("snap install foo", "refuse"),
    ],
)
def test_what_a_command_would_do(command: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")  # no package is installed
    name, *words = command.split()
    assert name in NAMES
    assert judge(name, words).kind == kind


def files_below(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def holders(secret: str, *folders: Path) -> list[str]:
    """Return the files whose name or content holds a secret."""
    return [
        str(path)
        for path in files_below(*folders)
        if secret in str(path) or secret.encode() in path.read_bytes()
    ]


SECRET_RECIPE = {
    "cache": True,
    "input_mapping": {"api_key": "API_KEY", "pin": "MY_PIN", "params": "PARAMS", "url": "URL"},
    "input_description": {"pin": {"desc": "hidden", "secret": True}},
    "new_env_keys": ["MADE", "API_KEY", "MY_PIN", "PARAMS", "URL", "COPY"],
}
WAYS = (
    f"--api_key={PLANTED}",
    f"--pin={PLANTED}",
    f"--env.DB_PASSWORD={PLANTED}",
    f"--const.MY_TOKEN={PLANTED}",
    f"--params=storage.secret_key={PLANTED} reader.read_threads=4",
    f"--url=https://me:{PLANTED}@host/path",
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["true", "false"])
def test_a_secret_is_written_nowhere(cm: CM, recipes: Recipes, way: str, end: str) -> None:
    recipes.add("make-it", {"cache": True, "new_env_keys": ["MADE"]}, run="echo MADE=1")
    recipes.add(
        "run-it",
        {**SECRET_RECIPE, "deps": [{"tags": "make,it"}]},
        run=f"""
            for text in "$API_KEY" "$MY_PIN" "$DB_PASSWORD" "$MY_TOKEN" "$PARAMS" "$URL"; do
                echo "have $text"; echo "have $text" >&2
            done
            echo "COPY=$API_KEY$MY_PIN$DB_PASSWORD$MY_TOKEN" > tmp-run-env.out
            {end}
        """,
        hooks="""
            def postprocess(i):
                print("hook has", i["env"].get("API_KEY"), i["env"].get("MY_PIN"))
        """,
    )
    flags = ("--repro", "--save_env", "--print_env", "--print_deps", "--time", "-v")
    texts = []
    for extra in ((), ("-j",), ("--fake_run",)):  # the second one may find the cache
        done = cm.script("run,it", way, *flags, *extra)
        assert (done.returncode == 0) == (end == "true" or extra == ("--fake_run",)), done.stderr
        texts.append(done.stdout + done.stderr)
        if extra == ("-j",):
            assert json.loads(done.stdout)["return"] == done.returncode
    assert PLANTED not in "".join(texts)
    assert "have ***" in texts[0] or "***@host" in texts[0] or "secret_key=***" in texts[0]
    assert (cm.caller / "cm-repro").is_dir()
    assert holders(PLANTED, cm.folder, cm.caller, cm.temporary, recipes.folder) == []


def test_the_search_for_the_secret_finds_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(f"a {PLANTED} b")
    assert holders(PLANTED, tmp_path) == [str(tmp_path / "x")]


def test_sudo_with_a_terminal_may_ask_on_stdin(cm: CM, recipes: Recipes, called: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root is not asked")
    recipes.add("run-it", run="sudo make install")
    terminal = Terminal(cm)
    terminal.start("run", "script", "--tags=run,it", "--allow_sudo")
    assert terminal.end() == 0
    assert lines_of(called) == ["sudo -S make install"]


def test_a_secret_of_a_later_recipe_is_hidden_from_the_start(cm: CM, recipes: Recipes) -> None:
    recipes.add(
        "open-it",
        {"input_mapping": {"pin": "PIN"}, "input_description": {"pin": {"secret": True}}},
    )
    recipes.add(
        "run-it",
        {"prehook_deps": [{"tags": "open,it"}]},
        hooks="""
            def preprocess(i):
                print("given", i["input"])
                return {"return": 1, "error": f"no {i['env'].get('PIN')}"}
        """,
    )
    for way in (f"--pin={PLANTED}", f"--env.PIN={PLANTED}", f"--const.PIN={PLANTED}"):
        done = cm.script("run,it", way)
        assert done.returncode == 1
        assert PLANTED not in done.stdout + done.stderr
        assert "***" in done.stdout + done.stderr


def test_a_secret_of_the_host_is_not_logged(cm: CM, recipes: Recipes) -> None:
    cm.environment |= {
        "AWS_SECRET_ACCESS_KEY": PLANTED,
        "TOKENIZERS_PARALLELISM": "false",
        "MAX_TOKENS": "4096",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
    }
    recipes.add("run-it", run="env\nexit 1")
    done = cm.script("run,it")
    (log,) = (cm.folder / "repos" / "local" / "logs").iterdir()
    for text in (done.stdout, log.read_text()):
        assert "AWS_SECRET_ACCESS_KEY=***" in text
        assert "TOKENIZERS_PARALLELISM=false" in text
        assert "MAX_TOKENS=4096" in text
        assert "/home/me/key.json" in text


def test_a_log_that_cannot_be_written_does_not_stop_a_run(cm: CM, recipes: Recipes) -> None:
    (cm.folder / "repos" / "local" / "logs").write_text("in the way")
    recipes.add("run-it", run="echo ran\nexit 4")
    done = cm.script("run,it")
    assert done.returncode == 4
    assert "ran\n" in done.stdout
    assert "warning: no log is written" in done.stdout


@pytest.mark.parametrize(
    "value",
    [
        "https://bucket.example/key?X-Amz-Signature=PLANTED123&X-Amz-Date=1",
        "https://account.example/c?sv=1&sig=PLANTED123",
        "Authorization: Bearer PLANTED123",
    ],
)
def test_signed_urls_and_headers_are_secrets(cm: CM, recipes: Recipes, value: str) -> None:
    declared = {"cache": True, "input_mapping": {"from": "FROM"}, "new_env_keys": ["OUT"]}
    recipes.add("get-it", declared, run='echo "OUT=$FROM" > tmp-run-env.out; echo "$FROM"; exit 3')
    for flags in (["--repro"], ["-v", "-j"], ["--print_deps"]):
        done = cm.script("get,it", f"--from={value}", *flags)
        assert done.returncode == 3
        assert "PLANTED123" not in done.stdout + done.stderr
    written = [p for p in cm.folder.parent.rglob("*") if p.is_file()]
    assert [p for p in written if b"PLANTED123" in p.read_bytes()] == []
