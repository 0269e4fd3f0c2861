"""Make the checkout's environment and register the checkout with cm: bootstrap's slow path.

Standard library only: it runs before anything is installed. Each part is done under a lock, and
only if it is still to be done when the lock is held. Arguments: the checkout and ``CM_REPOS``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import bootstrap_check as check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIP_DETOURS = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV")
_CM_DETOURS = ("CM_INDEX", "CM_HOME", "CM_CONFIG")
OWN_NAME = "cm4storage"
"""Automations of ours begin with it, or their repository's alias does."""

_SHOWN_LINES = 15


class SetupError(Exception):
    """What went wrong, with lines that say where, why and what to do."""

    def __init__(self, what: str, **details: str) -> None:
        lines = [f"  {label.replace('_', ' ')}: {text}" for label, text in details.items()]
        super().__init__("\n".join([what, *lines]))


def say(text: str) -> None:
    """Tell the user what goes on; standard output belongs to the command."""
    sys.stderr.write(f"bootstrap: {text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on the file, whose descriptor is the value.

    A child that inherits the descriptor goes on holding the lock when this process is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another bootstrap to finish")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def plain_environment(**extra: str) -> dict[str, str]:
    """Return the environment without what would send Python, pip or cm elsewhere."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name not in _CM_DETOURS
    }
    # An empty value also beats pip's configuration files.
    environment.update(dict.fromkeys(_PIP_DETOURS, ""))
    try:
        Path.home()
    except RuntimeError:
        environment["PIP_NO_CACHE_DIR"] = "1"  # pip would make a folder named "~" right here
    return environment | extra


def run(command: Sequence[str | Path], lock: int, cwd: Path, **extra: str) -> None:
    """Run a step of the set-up, in `plain_environment` with `extra`.

    Raises
    ------
    subprocess.CalledProcessError
        With all that the step wrote.
    """
    subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=plain_environment(**extra),
        pass_fds=(lock,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=True,
    )


def last_lines(output: str) -> str:
    """Return the end of a step's output, as the detail of an error."""
    return "".join(f"\n    {line}" for line in output.strip().splitlines()[-_SHOWN_LINES:])


# --- the environment ---------------------------------------------------------------------------


def ask(checkout: Path, question: str) -> bytes | None:
    """Ask the environment's own interpreter about it; see `bootstrap_check.main`.

    Returns
    -------
    bytes or None
        What it wrote, mostly nothing; None where the answer is no or the interpreter is gone.
    """
    python = checkout / ".venv" / "bin" / "python"
    program = checkout / "tools" / "bootstrap_check.py"
    command = [str(python), "-E", "-s", "-S", "-B", str(program), question, str(checkout)]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def prepare_environment(checkout: Path) -> None:
    """Make ``.venv`` complete and stamp it, unless it is."""
    with locked(checkout / ".cm" / ".environment.lock") as lock:
        if ask(checkout, "ready") is not None:
            return
        in_place = ask(checkout, "in-place") is not None
        check.stamp_file(checkout).unlink(missing_ok=True)
        if not in_place:
            make_environment(checkout, lock)
        install_project(checkout, lock, has_build_tools=in_place)
        check.stamp_file(checkout).write_bytes(ask(checkout, "stamp") or b"")


def make_environment(checkout: Path, lock: int) -> None:
    """Make a new, empty ``.venv``."""
    require_venv_modules()
    if os.pathsep in str(checkout):
        raise SetupError(
            f"the path of the checkout holds a {os.pathsep!r}, which separates folders in PATH",
            where=str(checkout),
            to_do="move the checkout to another folder",
        )
    base = getattr(sys, "_base_executable", None) or sys.executable
    say(f"making .venv with {base} (Python {'.'.join(map(str, sys.version_info[:3]))})")
    venv = checkout / ".venv"
    if venv.exists():
        shutil.rmtree(venv)
    try:
        run([base, "-I", "-m", "venv", "--prompt", "cm4storage", venv], lock, checkout)
    except subprocess.CalledProcessError as error:
        raise SetupError(
            f"{base} cannot make a virtual environment",
            output=last_lines(error.output),
            to_do=_venv_advice(),
        ) from error


def require_venv_modules() -> None:
    """Raise the error that names the package when the interpreter cannot make environments."""
    try:
        import venv  # noqa: F401
        from ensurepip import bootstrap  # noqa: F401 -- an empty folder left behind imports too
    except ImportError as error:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: {error}",
            cause="Debian and Ubuntu ship that part of Python in a package of its own",
            to_do=_venv_advice(),
        ) from error


def _venv_advice() -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"apt install python3-venv (python{version}-venv, for this version alone)"


def install_project(checkout: Path, lock: int, *, has_build_tools: bool) -> None:
    """Install the checkout in editable mode, with its test extra.

    An environment that was complete once has the build tools: with them nothing is fetched while
    the dependencies stay the same.
    """
    say("installing the project and its test tools in .venv (a minute or two)")
    python = str(checkout / ".venv" / "bin" / "python")
    command = [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if has_build_tools:
        command.append("--no-build-isolation")
    try:
        run([*command, "--quiet", "--editable", ".[test]"], lock, checkout)
    except subprocess.CalledProcessError as error:
        raise SetupError(
            "pip could not install the project",
            output=last_lines(error.output),
            cause="most often the network or the package index cannot be reached",
            to_do="see to that and call ./bootstrap again",
        ) from error
    free_launchers_of_their_path(checkout / ".venv" / "bin")


def free_launchers_of_their_path(folder: Path) -> None:
    """Let the launchers find the interpreter beside them.

    For a long path, or one with a space, pip writes a launcher that starts as a shell script, with
    the path in double quotes: one that holds ``"`` or ``$`` breaks it.
    """
    pip_writes = re.compile(rb"\A#!/bin/sh\n'''exec' .*\n")
    instead = b'#!/bin/sh\n\'\'\'exec\' "${0%/*}/python" "$0" "$@"\n'
    for launcher in folder.iterdir():
        if launcher.is_file() and not launcher.is_symlink():
            code = launcher.read_bytes()
            if pip_writes.match(code):
                launcher.write_bytes(pip_writes.sub(lambda _: instead, code))


# --- the registration --------------------------------------------------------------------------


def register(checkout: Path, cm_repos: Path, command: Sequence[str] = ()) -> None:
    """Let cm find this checkout, and see to it that its automations are the ones that run.

    A command that names them runs whatever others there are.
    """
    with locked(cm_repos / ".cm4storage.lock") as lock:
        if check.is_registered(checkout, cm_repos):
            if check.foreign_automation(checkout, cm_repos) is None:
                return
        else:
            say(f"registering the checkout with cm in {cm_repos}")
        before = present_repositories(cm_repos)
        write_repositories(cm_repos, with_checkout(before, checkout, cm_repos))
        reindex(checkout, cm_repos, lock)
        foreign = check.foreign_automation(checkout, cm_repos)
        if foreign is not None and not names_ours(command):
            write_repositories(cm_repos, before)
            reindex(checkout, cm_repos, lock)
            raise conflict(checkout, cm_repos, *foreign)


def names_ours(command: Sequence[str]) -> bool:
    """Tell whether a command says itself that it wants our automations.

    >>> names_ours(["cm", "run", "cm4storage:script"]), names_ours(["cm", "run", "script"])
    (True, False)
    """
    return list(command[:1]) == ["cm"] and command[2:3] != [] and command[2].startswith(OWN_NAME)


def present_repositories(cm_repos: Path) -> list[str]:
    """Return the entries of ``repos.json`` without those whose folder is gone."""
    file = cm_repos / "repos.json"
    registered = check.read_json(file) if file.exists() else []
    if not isinstance(registered, list):
        raise SetupError(
            "cm's list of repositories is damaged",
            where=str(file),
            to_do="repair it, or delete it and register your repositories again",
        )
    folders = {str(each): check.repository_folder(cm_repos, str(each)) for each in registered}
    return [each for each, folder in folders.items() if check.is_repository(folder)]


def with_checkout(registered: list[str], checkout: Path, cm_repos: Path) -> list[str]:
    """Return the list with this checkout added.

    The checkout's own ``.cm`` serves this checkout: there it comes first, and replaces the one
    that it was copied from. Elsewhere it comes last, and a second copy is an error.
    """
    folders = {each: check.repository_folder(cm_repos, each) for each in registered}
    others = [each for each in registered if folders[each].resolve() != checkout]
    own = identity(checkout).items()
    twins = [each for each in others if own & identity(folders[each]).items()]
    if cm_repos.resolve() == checkout / ".cm":
        return [str(checkout), *(each for each in others if each not in twins)]
    if twins:
        raise SetupError(
            "another copy of this repository is registered with cm, and would run instead",
            runs=str(folders[twins[0]]),
            not_this=str(checkout),
            to_do=way_out(checkout, cm_repos, folders[twins[0]]),
        )
    return [*others, str(checkout)]


def identity(repository: Path) -> dict[str, str]:
    """Return the ``alias`` and the ``uid`` that a repository's ``cmr`` file gives it."""
    field = re.compile(r"""^\s*["']?(alias|uid)["']?\s*:\s*["']?([\w@.-]+)""", re.MULTILINE)
    found: dict[str, str] = {}
    for file in (repository / "cmr.yaml", repository / "cmr.json"):
        if file.is_file():
            found.update(field.findall(file.read_text("utf-8", "replace")))
    return found


def write_repositories(cm_repos: Path, registered: list[str]) -> None:
    """Replace ``repos.json`` in one step: cm may be reading it."""
    file = cm_repos / "repos.json"
    temporary = file.with_name(f".repos.json.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(registered, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)


def reindex(checkout: Path, cm_repos: Path, lock: int) -> None:
    """Let cm make its folders and its index anew, which many first calls at once cannot."""
    python = str(checkout / ".venv" / "bin" / "python")
    command = [python, "-I", "-m", "cmind", "reindex", "repo"]
    try:
        run(command, lock, checkout, CM_REPOS=str(cm_repos))
    except subprocess.CalledProcessError as error:
        raise SetupError(
            "cm cannot index its repositories",
            where=str(cm_repos),
            output=last_lines(error.output),
        ) from error


def conflict(checkout: Path, cm_repos: Path, name: str, folder: Path | None) -> SetupError:
    """Return the error that says which automation would run instead of this checkout's."""
    own = checkout / "automation" / name
    if folder is None:
        return SetupError(
            f"cm does not find this checkout's {name!r} automation",
            where=str(own),
            to_do="see whether the checkout is complete: git status",
        )
    return SetupError(
        f"cm would not run this checkout's {name!r} automation, but another one",
        runs=str(folder),
        not_this=str(own),
        or_name_this_one="./bootstrap cm run cm4storage:script --tags=...",
        to_do=way_out(checkout, cm_repos, folder.parent.parent),
    )


def way_out(checkout: Path, cm_repos: Path, repository: Path) -> str:
    """Return what the user can do about a repository that stands in the way."""
    programs = checkout / ".venv" / "bin"
    if checkout / ".venv" in repository.parents:
        package = repository.parent.name
        return f"take the other one out: {_quote(programs / 'python')} -m pip uninstall {package}"
    if repository == cm_repos / "repos" / "local":
        rivals = [repository / "automation" / name for name in check.AUTOMATIONS]
        removal = " ".join(["rm -r", *(_quote(rival) for rival in rivals if rival.exists())])
    else:
        alias = identity(repository).get("alias", repository.name)
        removal = f"{_quote(programs / 'cm')} rm repo {alias} -f"
    if cm_repos.resolve() == checkout / ".cm":
        return f"take the other one out: {removal}"
    return f"unset CM_REPOS, to use this checkout's own; or take the other one out: {removal}"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))


def main(checkout: Path, cm_repos: Path, command: Sequence[str] = ()) -> int:
    """Do what is still to be done, and return the exit code."""
    try:
        prepare_environment(checkout)
        register(checkout, cm_repos, command)
    except SetupError as error:
        say(f"error: {error}")
    except OSError as error:
        say(f"error: {error.strerror}\n  where: {error.filename}")
    except KeyboardInterrupt:
        say("interrupted; the next call goes on from here")
        return 130
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
