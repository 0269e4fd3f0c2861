"""`bootstrap` sets a fresh checkout up, wherever it is, and then stays out of the way."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from checkouts import FIND, INTERPRETER, Checkout, Machine, copy_checkout, make_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = ("--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")


# What the first call does


def test_first_call_on_a_hostile_machine_runs_this_checkout(
    first_call: tuple[Checkout, subprocess.CompletedProcess[str]],
) -> None:
    checkout, call = first_call
    assert call.returncode == 0, call.stderr
    assert call.stdout.split("\n")[0] == checkout.automation
    assert [line.split()[1] for line in call.stderr.splitlines()] == [
        "making",
        "installing",
        "registering",
    ]


def test_installation_is_editable_and_leaves_no_frozen_recipes(ready: Checkout) -> None:
    program = "import cm4storage, sys; sys.stdout.write(cm4storage.__file__)"
    call = ready.call("python", "-c", program)
    assert call.stdout == str(ready.path / "src" / "cm4storage" / "__init__.py")
    assert not (ready.path / "src" / "cm4storage" / "repo").exists()


def test_without_home_no_file_appears_elsewhere(ready: Checkout) -> None:
    made = {entry.name for entry in ready.path.iterdir()}
    assert "~" not in made
    assert {".venv", ".cm"} <= made


# What every call does


def test_second_call_prints_nothing_of_its_own(ready: Checkout) -> None:
    call = ready.call("echo", "two  words", "$HOME")
    assert (call.stdout, call.stderr, call.returncode) == ("two  words $HOME\n", "", 0)


def test_exit_code_is_the_command_s(ready: Checkout) -> None:
    assert ready.call("sh", "-c", "exit 42").returncode == 42
    assert ready.call("no-such-command").returncode == 127


def test_command_replaces_the_shell_and_gets_its_signals(ready: Checkout) -> None:
    process = ready.start("sh", "-c", "echo $$; exec sleep 60", PATH=os.environ["PATH"])
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    process.send_signal(signal.SIGTERM)
    with process:
        assert process.wait() == -signal.SIGTERM


def test_exported_variables(ready: Checkout) -> None:
    program = 'printf \'%s\\n\' "$VIRTUAL_ENV" "$CM_REPOS" "$PYTHONDONTWRITEBYTECODE" "$PATH"'
    call = ready.call("sh", "-c", program, PYTHONDONTWRITEBYTECODE="1")
    venv = str(ready.path / ".venv")
    path = f"{venv}/bin:{ready.machine.programs}"
    assert call.stdout.splitlines() == [venv, str(ready.path / ".cm"), "1", path]


def test_recipes_are_told_how_to_be_run_again(ready: Checkout) -> None:
    shown = ready.call("sh", "-c", 'echo "$MLPERF_STORAGE_CM_COMMAND"').stdout.strip()
    assert shlex.split(shown) == [str(ready.path / "bootstrap"), "cm"]


def test_working_directory_is_the_caller_s(ready: Checkout, tmp_path: Path) -> None:
    call = ready.call("sh", "-c", "pwd -P", cwd=tmp_path)
    assert call.stdout.strip() == str(tmp_path.resolve())


@pytest.mark.parametrize("relative", [False, True])
def test_call_through_symbolic_links(ready: Checkout, tmp_path: Path, relative: bool) -> None:
    target = ready.path / "bootstrap"
    (tmp_path / "there").mkdir()
    link = tmp_path / "there" / "link"
    link.symlink_to(os.path.relpath(target, link.parent) if relative else target)
    (tmp_path / "run-it").symlink_to(Path("there") / "link")
    call = subprocess.run(
        ["sh", "run-it", *FIND],
        cwd=tmp_path,
        env=ready.machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert call.stdout.splitlines() == [ready.automation], call.stderr


def test_dash_runs_it(ready: Checkout) -> None:
    dash = shutil.which("dash")
    if dash is None:
        pytest.skip("dash is not installed")
    command = [dash, str(ready.path / "bootstrap"), "echo", "fine"]
    environment = ready.machine.environment()
    call = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (call.stdout, call.stderr) == ("fine\n", "")


def test_no_command_prints_the_usage(fresh: Checkout) -> None:
    without, asked = fresh.call(), fresh.call("--help")
    assert (without.returncode, without.stdout) == (2, "")
    assert without.stderr == asked.stdout
    assert asked.returncode == 0
    assert asked.stdout.startswith("usage: ./bootstrap COMMAND")
    assert not (fresh.path / ".venv").exists()


def test_second_call_touches_nothing(ready: Checkout) -> None:
    before = _tree(ready.path)
    assert ready.call("true").returncode == 0
    assert _tree(ready.path) == before


def _tree(folder: Path) -> dict[str, int]:
    return {
        str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_symlink()
    }


# Many at once, and half-done


@pytest.mark.install
def test_twenty_first_calls_at_once(fresh: Checkout) -> None:
    processes = [fresh.start(*FIND) for _ in range(20)]
    outcomes = [(process.communicate(), process.returncode) for process in processes]
    assert {code for _, code in outcomes} == {0}, outcomes
    assert {out.splitlines()[0] for (out, _), _ in outcomes} == {fresh.automation}
    assert sum("installing" in err for (_, err), _ in outcomes) == 1
    assert sum("registering" in err for (_, err), _ in outcomes) == 1


@pytest.mark.install
def test_killed_set_up_is_made_anew(fresh: Checkout) -> None:
    process = fresh.start("true")
    interpreter = fresh.path / ".venv" / "bin" / "python"
    while not interpreter.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    with process:
        process.wait()
    call = fresh.call(*FIND)
    assert call.stdout.splitlines()[-1] == fresh.automation, call.stderr


@pytest.mark.install
def test_changed_project_file_updates_the_environment_in_place(fresh: Checkout) -> None:
    assert fresh.call("true").returncode == 0
    (fresh.path / ".venv" / "mine").touch()
    with (fresh.path / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    # No package can be had from anywhere: what is there must be enough.
    call = fresh.call("true", PIP_FIND_LINKS="")
    assert call.returncode == 0, call.stderr
    assert call.stderr.count("\n") == 1
    assert "installing" in call.stderr
    assert (fresh.path / ".venv" / "mine").exists()
    assert fresh.call("true").stderr == ""


@pytest.mark.install
def test_moved_checkout_is_set_up_and_registered_anew(fresh: Checkout, tmp_path: Path) -> None:
    assert fresh.call("true").returncode == 0
    moved = Checkout(fresh.path.rename(tmp_path / "moved"), fresh.machine)
    call = moved.call(*FIND)
    assert call.stdout.splitlines() == [moved.automation], call.stderr
    assert "making .venv" in call.stderr
    assert [entry for entry in moved.registered() if "fresh" in entry] == []


@pytest.mark.install
def test_copied_checkout_runs_itself(fresh: Checkout, tmp_path: Path) -> None:
    assert fresh.call("true").returncode == 0
    copy = Checkout(tmp_path / "copy", fresh.machine)
    shutil.copytree(fresh.path, copy.path, symlinks=True)
    call = copy.call(*FIND)
    assert call.stdout.splitlines() == [copy.automation], call.stderr
    assert fresh.call(*FIND).stdout.splitlines() == [fresh.automation]


@pytest.mark.install
def test_wheel_installed_over_the_editable_installation_is_undone(
    fresh: Checkout, tmp_path: Path
) -> None:
    assert fresh.call("true").returncode == 0
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    wheel = fresh.call("python", "-m", "pip", "install", *options, fresh.path, cwd=tmp_path)
    assert wheel.returncode == 0, wheel.stderr
    call = fresh.call("python", "-c", "import cm4storage; print(cm4storage.__file__)")
    assert call.stdout.strip() == str(fresh.path / "src" / "cm4storage" / "__init__.py")
    assert "installing" in call.stderr


# What cannot work, and says so


def _bare(machine: Machine, programs: Path, checkout: Checkout) -> Checkout:
    return Checkout(checkout.path, Machine(programs, machine.wheels))


def _old_python(path: Path) -> None:
    path.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.10" && exit 0\nexit 1\n')
    path.chmod(0o755)


def test_no_python_that_will_do(fresh: Checkout, tmp_path: Path) -> None:
    programs = make_programs(tmp_path / "bin")
    call = _bare(fresh.machine, programs, fresh).call("true")
    assert call.returncode == 1
    assert call.stderr.splitlines() == [
        "bootstrap: error: no Python 3.10 or newer in PATH",
        "  to do: install one, for example: apt install python3 python3-venv",
    ]


def test_too_old_python_is_named(fresh: Checkout, tmp_path: Path) -> None:
    programs = make_programs(tmp_path / "bin")
    _old_python(programs / "python3")
    call = _bare(fresh.machine, programs, fresh).call("true")
    assert call.returncode == 1
    assert f"  found: Python 3.8.10 at {programs}/python3\n" in call.stderr


@pytest.mark.install
def test_newer_python_is_taken_where_python3_is_too_old(fresh: Checkout, tmp_path: Path) -> None:
    programs = make_programs(tmp_path / "bin", **{"python3.11": INTERPRETER})
    _old_python(programs / "python3")
    call = _bare(fresh.machine, programs, fresh).call("python", "-c", "import cmind")
    assert call.returncode == 0, call.stderr
    assert f"making .venv with {programs}/python3.11" in call.stderr


def test_missing_ensurepip_names_the_package(fresh: Checkout, tmp_path: Path) -> None:
    # What Debian's python3 is without python3-venv: all there but ensurepip.
    debian = tmp_path / "debian"
    subprocess.run([INTERPRETER, "-m", "venv", "--without-pip", debian], check=True)
    [site_packages] = debian.glob("lib/python3*/site-packages")
    site_customize = "import sys\nsys.modules['ensurepip'] = None\n"
    (site_packages / "sitecustomize.py").write_text(site_customize)
    programs = make_programs(tmp_path / "bin")
    (programs / "python3").symlink_to(debian / "bin" / "python3")
    call = fresh.call("true", PATH=f"{debian}/bin:{programs}")
    assert call.returncode == 1
    assert "cannot make virtual environments" in call.stderr
    assert "to do: apt install python3-venv (" in call.stderr
    assert f"python3.{sys.version_info.minor}-venv" in call.stderr
    assert not (fresh.path / ".venv").exists()


@pytest.mark.install
def test_unreachable_index_is_an_error_and_leaves_no_stamp(fresh: Checkout) -> None:
    call = fresh.call("true", PIP_FIND_LINKS="")
    assert call.returncode == 1
    assert "error: pip could not install the project" in call.stderr
    assert "hatchling" in call.stderr  # pip's own words
    assert "Traceback" not in call.stderr
    again = fresh.call("true")
    assert again.returncode == 0, again.stderr
    assert "making .venv" in again.stderr


def test_colon_in_the_path_is_an_error(machine: Machine, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "a:b", machine)
    copy_checkout(checkout.path)
    call = checkout.call("true")
    assert call.returncode == 1
    assert "holds a ':', which separates folders in PATH" in call.stderr


# Another user


@dataclass(frozen=True)
class OtherUser:
    """Somebody who may not enter root's folders, and a folder that both reach."""

    setpriv: str
    folder: Path
    interpreter: Path

    def call(
        self, checkout: Checkout, *command: str, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``bootstrap`` as this user."""
        return subprocess.run(
            [self.setpriv, *NOBODY, checkout.path / "bootstrap", *command],
            cwd="/",
            env=checkout.machine.environment(**extra),
            capture_output=True,
            text=True,
            check=False,
        )

    def checkout(self, machine: Machine) -> Checkout:
        """Return a fresh copy, which root owns, in the common folder."""
        wheels = shutil.copytree(machine.wheels, self.folder / "wheels")
        programs = make_programs(self.folder / "bin", python3=self.interpreter)
        checkout = Checkout(self.folder / "clone", Machine(programs, wheels))
        copy_checkout(checkout.path)
        return checkout


def _reachable_interpreter(setpriv: str) -> Path | None:
    """Return an interpreter like this one that the other user may start: root's may be private."""
    system = Path("/usr/bin") / f"python3.{sys.version_info.minor}"
    for interpreter in (INTERPRETER, system):
        command = [setpriv, *NOBODY, "sh", "-c", '"$0" -c "import ensurepip"', str(interpreter)]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return interpreter
    return None


@pytest.fixture
def nobody() -> Iterator[OtherUser]:
    """Another user; pytest's own folders are for root only."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv, to become another user")
    interpreter = _reachable_interpreter(setpriv)
    if interpreter is None:
        pytest.skip("another user reaches no interpreter of this version")
    with tempfile.TemporaryDirectory(prefix="cm4storage-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield OtherUser(setpriv, folder, interpreter)


@pytest.mark.install
def test_other_user_with_a_read_only_home(machine: Machine, nobody: OtherUser) -> None:
    checkout = nobody.checkout(machine)
    for path in (checkout.path, *checkout.path.rglob("*")):
        os.chown(path, 65534, 65534)
    home = nobody.folder / "home"
    home.mkdir(mode=0o555)
    call = nobody.call(checkout, *FIND, HOME=str(home))
    assert call.stdout.splitlines()[-1:] == [checkout.automation], call.stderr
    assert list(home.iterdir()) == []


def test_checkout_that_one_may_not_write_is_an_error(machine: Machine, nobody: OtherUser) -> None:
    checkout = nobody.checkout(machine)
    call = nobody.call(checkout, "true")
    assert call.returncode == 1
    assert call.stderr.splitlines() == [
        "bootstrap: error: Permission denied",
        f"  where: {checkout.path}/.cm",
    ]


@pytest.mark.slow
def test_other_user_runs_what_root_has_set_up(machine: Machine, nobody: OtherUser) -> None:
    checkout = nobody.checkout(machine)
    assert checkout.call("true").returncode == 0
    call = nobody.call(checkout, *FIND)
    assert (call.stdout, call.stderr) == (f"{checkout.automation}\n", "")
