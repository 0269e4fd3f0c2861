"""Stands in the place of ``sudo``, ``apt-get`` and their like while a recipe runs.

Runs alone, with the standard library only: ``guard_command.py refused FOLDER NAME ARGUMENTS``,
where FOLDER is the one that holds the stand-ins. What only asks is passed on to the real command;
what would change the system is refused, and noted in the file that ``REFUSALS_VARIABLE`` names.
With ``allowed`` for ``refused``, it stands for ``sudo`` alone, and passes everything on.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass

REFUSALS_VARIABLE = "CM4STORAGE_REFUSALS_FILE"
REFUSED_STATUS = 77

_ELEVATORS = ("sudo", "doas", "pkexec")
_SUDO_VALUES = ("-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "-U", "-r", "-t")
_RPM_QUERY = ("rpm", "-q", "--whatprovides")
_LIST = ("list", "search", "info", "show", "help", "version", "config", "history")


@dataclass(frozen=True)
class Tool:
    """A package manager.

    Parameters
    ----------
    asks : tuple of str
        Subcommands that change nothing.
    asking_flags : tuple of str
        Flags with which any call changes nothing.
    installs, refreshes : tuple of str
        Subcommands that install what is named, and that fetch lists of packages only.
    query : tuple of str
        The command that says by its exit code whether a package is there.
    value_flags : tuple of str
        Flags that are followed by a value.
    """

    asks: tuple[str, ...] = _LIST
    asking_flags: tuple[str, ...] = ("--version", "--help", "-h")
    installs: tuple[str, ...] = ("install",)
    refreshes: tuple[str, ...] = ("update",)
    query: tuple[str, ...] = ()
    value_flags: tuple[str, ...] = ()


_APT = Tool(
    asks=(*_LIST, "policy", "depends", "rdepends", "madison", "changelog", "download", "moo"),
    asking_flags=(
        *("--version", "--help", "-h", "-v", "-s", "--simulate", "--dry-run", "--just-print"),
        *("--no-act", "--recon", "--print-uris"),
    ),
    query=("dpkg-query", "-W", "-f=${db:Status-Status}"),
    value_flags=("-o", "-c", "-t", "--option", "--config-file", "--target-release"),
)
_APTITUDE = Tool(  # its -v is "verbose"
    asks=(*_LIST, "versions", "why", "why-not", "changelog", "download", "moo"),
    asking_flags=("--version", "--help", "-h", "-s", "--simulate"),
    query=_APT.query,
    value_flags=("-o", "-t", "-F", "-O", "-w", "--target-release", "--display-format", "--sort"),
)
_DNF = Tool(
    asks=(*_LIST, "repolist", "repoquery", "provides", "whatprovides", "check-update", "deplist"),
    installs=("install", "groupinstall"),
    refreshes=("makecache",),
    query=_RPM_QUERY,
    value_flags=("-c", "-d", "-e", "-x"),
)
TOOLS: dict[str, Tool] = {
    **dict.fromkeys(("apt", "apt-get"), _APT),
    "aptitude": _APTITUDE,
    **dict.fromkeys(("dnf", "yum", "microdnf"), _DNF),
    "zypper": Tool(
        asks=(*_LIST, "se", "if", "lr", "repos", "lu", "list-updates", "packages", "patterns"),
        installs=("install", "in"),
        refreshes=("refresh", "ref"),
        query=_RPM_QUERY,
        value_flags=("-t", "--type"),
    ),
    "apk": Tool(
        asks=(*_LIST, "policy", "stats", "dot"), installs=("add",), query=("apk", "info", "-e")
    ),
    "brew": Tool(
        asks=(*_LIST, "ls", "desc", "deps", "uses", "outdated", "leaves", "doctor", "shellenv"),
        asking_flags=("--version", "--help", "-h", "--prefix", "--cellar", "--repository"),
        query=("brew", "list"),
    ),
    "snap": Tool(asks=(*_LIST, "find")),
    "port": Tool(asks=(*_LIST, "installed", "contents", "deps"), refreshes=("selfupdate",)),
}
_PACMAN_ASKS = ("-Q", "-T", "-V", "-h", "--version", "--help", "--query", "-Ss", "-Si", "-Sl")
_CHANGING_FLAGS = {
    "dpkg": (
        *("--install", "--unpack", "--configure", "--remove", "--purge", "--command-fd"),
        *("--set-selections", "--clear-selections", "--triggers-only"),
        *("--add-architecture", "--remove-architecture", "--record-avail", "--update-avail"),
        *("--merge-avail", "--clear-avail", "--forget-old-unavail"),
    ),
    "rpm": (
        *("--install", "--upgrade", "--freshen", "--erase", "--import", "--reinstall"),
        *("--initdb", "--rebuilddb", "--setperms", "--setugids", "--setcaps", "--restore"),
    ),
}
NAMES = (*_ELEVATORS, *TOOLS, "pacman", *_CHANGING_FLAGS)


@dataclass(frozen=True)
class Verdict:
    """What is to be done about a call: "pass", "done", "refresh", "probe" or "refuse"."""

    kind: str
    packages: tuple[str, ...] = ()


def judge(name: str, words: list[str]) -> Verdict:
    """Return what is to be done about the command `name` with the arguments `words`."""
    if name in _ELEVATORS:
        return _judge_elevator(words)
    if name == "pacman":
        return _judge_pacman(words)
    if name in _CHANGING_FLAGS:
        return _judge_low(name, words)
    return _judge_manager(TOOLS[name], words) if name in TOOLS else Verdict("refuse")


def _judge_elevator(words: list[str]) -> Verdict:
    command = elevated(words)
    if not command:
        asks = any(word in ("-V", "--version", "-h", "--help") for word in words)
        return Verdict("pass" if asks else "probe")
    if command[0] in ("true", "echo", ":"):
        return Verdict("probe")  # to see whether it would work
    name = os.path.basename(command[0])  # noqa: PTH119 - starts in a few milliseconds
    inner = judge(name, command[1:]) if name in NAMES else Verdict("refuse")
    return inner if inner.kind in ("done", "refresh") else Verdict("refuse", inner.packages)


def elevated(words: list[str]) -> list[str]:
    """Return the command after ``sudo`` and its flags and variables."""
    rest = list(words)
    while rest:
        word = rest[0]
        if word == "--":
            return rest[1:]
        if word in _SUDO_VALUES:
            rest = rest[2:]
        elif word.startswith("-") or "=" in word or word == "env":
            rest = rest[1:]
        else:
            return rest
    return []


def _judge_manager(tool: Tool, words: list[str]) -> Verdict:
    plain, skip = [], False
    for word in words:
        if skip or word in tool.value_flags:
            skip = not skip
        elif word in tool.asking_flags:
            return Verdict("pass")
        elif not word.startswith("-"):
            plain.append(word)
    if not plain or plain[0] in tool.asks:
        return Verdict("pass")
    if plain[0] in tool.refreshes and len(plain) == 1:
        return Verdict("refresh")
    if plain[0] not in tool.installs:
        return Verdict("refuse")
    return _missing(tool.query, plain[1:])


def _judge_pacman(words: list[str]) -> Verdict:
    operation = next((word for word in words if word.startswith("-")), "")
    plain = [word for word in words if not word.startswith("-")]
    if not operation or operation.startswith(_PACMAN_ASKS):
        return Verdict("pass")
    if operation.startswith("-S") and plain:
        return _missing(("pacman", "-Q"), plain)
    return Verdict("refresh" if operation in ("-Sy", "-Syy") else "refuse")


def _judge_low(name: str, words: list[str]) -> Verdict:
    changes = any(word.partition("=")[0] in _CHANGING_FLAGS[name] for word in words)
    short = {x for word in words if word[:1] == "-" and word[1:2] != "-" for x in word[1:]}
    if name == "dpkg":
        changes = changes or not short.isdisjoint("irPA")
    else:
        changes = changes or (short.isdisjoint("qVK") and not short.isdisjoint("iUFe"))
    return Verdict("refuse" if changes else "pass")


def _missing(query: tuple[str, ...], packages: list[str]) -> Verdict:
    missing = tuple(package for package in packages if not _is_installed(query, package))
    return Verdict("refuse", missing) if missing or not packages else Verdict("done")


def _is_installed(query: tuple[str, ...], package: str) -> bool:
    if not query or shutil.which(query[0]) is None:
        return False
    done = subprocess.run(
        [*query, package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    is_there = query[0] != "dpkg-query" or done.stdout.strip() == b"installed"
    return done.returncode == 0 and is_there


def path_without(folder: str, path: str) -> str:
    """Return a PATH without one folder."""
    return os.pathsep.join(each for each in path.split(os.pathsep) if each != folder)


def main(name: str, folder: str, words: list[str]) -> int:
    """Pass a call on or refuse it; return the exit code."""
    os.environ["PATH"] = path_without(folder, os.environ.get("PATH", os.defpath))
    verdict = judge(name, words)
    shown = shlex.join([name, *words])
    if verdict.kind == "pass":
        real = shutil.which(name)
        if real is None:
            sys.stderr.write(f"{name}: not found\n")
            return 127
        os.execv(real, [real, *words])
    if verdict.kind == "probe":
        sys.stderr.write(f"{name}: not available to recipes without --allow_sudo\n")
        return 1
    if verdict.kind == "done":
        sys.stderr.write(f"already installed: {shown}\n")
        return 0
    _note(verdict, [name, *words])
    if verdict.kind == "refresh":
        sys.stderr.write(f"left out, needs --allow_sudo: {shown}\n")
        return 0
    sys.stderr.write(f"refused, needs --allow_sudo: {shown}\n")
    return REFUSED_STATUS


def elevate(folder: str, words: list[str]) -> int:
    """Call the real sudo; root needs none. A password is asked for on stdin, if it is a terminal.

    Scripts run in a session without a terminal of its own, where sudo finds nobody to ask.
    """
    os.environ["PATH"] = path_without(folder, os.environ.get("PATH", os.defpath))
    real = shutil.which("sudo")
    if real is not None:
        asks = ["-S"] if os.geteuid() != 0 and sys.stdin.isatty() else []
        os.execv(real, [real, *asks, *words])
    command = elevated(words)
    if os.geteuid() == 0 and command:
        set_first = [word for word in words[: -len(command)] if "=" in word and word[0] != "-"]
        os.execvp("env", ["env", *set_first, *command])
    sys.stderr.write("sudo: not found\n")
    return 127


def _note(verdict: Verdict, words: list[str]) -> None:
    path = os.environ.get(REFUSALS_VARIABLE)
    if path:
        record = json.dumps([verdict.kind, list(verdict.packages), words])
        # One write, so that two at once do not mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{record}\n".encode())
        os.close(descriptor)


if __name__ == "__main__":
    if sys.argv[1] == "allowed":
        sys.exit(elevate(sys.argv[2], sys.argv[4:]))
    sys.exit(main(sys.argv[3], sys.argv[2], sys.argv[4:]))
