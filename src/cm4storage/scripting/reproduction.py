"""``--repro``: a folder that says what ran, with what, on what, and how to do it again."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageFault, is_secret_name
from cm4storage.scripting.console import without_secrets
from cm4storage.scripting.keys import Fingerprints
from cm4storage.scripting.rerun import cm_command, flag_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.session import Session

FOLDER: Final = "cm-repro"

_LEFT_OUT: Final = ("common", "cm_debug", "out")
_PACKAGES: Final = ("cmind", "cm4storage", "PyYAML", "numpy", "boto3", "mpi4py")


def command_of(given: Mapping[str, Any], session: Session) -> str:
    """Return the command that repeats a call, without secrets."""
    words = sys.argv[1:] if "cmd" in given else _words(given)
    shown = session.console.shown  # each word, since quotes for the shell change how it looks
    line = shlex.join(shown(_without_secret(word)) for word in words)
    return shown(f"{cm_command()} {line}")


def write_reproduction(
    given: Mapping[str, Any],
    result: Mapping[str, Any],
    session: Session,
) -> Path:
    """Write the folder, as a whole or not at all; `result` holds no secrets.

    Raises
    ------
    StorageFault
        If it cannot be written.
    """
    request = {k: v for k, v in given.items() if k not in _LEFT_OUT}
    documents = {
        "request.json": request,
        "recipes.json": _recipes(session),
        "result.json": result,
        "environment.json": _environment(session),
    }
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
    parent = Path(session.caller_folder) / FOLDER
    try:
        parent.mkdir(exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
        try:
            for name, value in documents.items():
                shown = without_secrets(value, session.console.secrets)
                text = json.dumps(shown, indent=2, sort_keys=True)
                (new / name).write_text(f"{text}\n", encoding="utf-8")
            (new / "command.sh").write_bytes(os.fsencode(_script(given, session)))
            new.chmod(0o755)
            return new.rename(parent / now)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise StorageFault(
            f"cannot write the record of the run: {error.strerror}", where=str(parent)
        ) from error


def _script(given: Mapping[str, Any], session: Session) -> str:
    command = command_of(given, session)
    note = "# A secret stands as ***: fill it in.\n" if "***" in command else ""
    folder = shlex.quote(str(session.caller_folder))
    home = os.environ.get("CM_REPOS", "")
    where = f"CM_REPOS={shlex.quote(home)}\nexport CM_REPOS\n" if home else ""
    return f"#!/bin/sh\n{note}{where}cd {folder} &&\n{command}\n"


def _recipes(session: Session) -> list[dict[str, Any]]:
    """Return each decision, with the digests of the code of its recipe."""
    fingerprints = Fingerprints(session)
    found = []
    for step in session.steps:
        recipe = step.prepared.recipe
        code = dict(fingerprints.code(recipe))
        found.append({**step.as_json(), "folder": recipe.place, "code": code})
    return found


def _environment(session: Session) -> dict[str, Any]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": sys.version,
        "executable": sys.executable,
        "packages": versions,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "folder": str(session.caller_folder),
        "path": os.environ.get("PATH", ""),
    }


def _words(given: Mapping[str, Any]) -> list[str]:
    """Return the flags of a call that came from a program."""
    skipped = {*_LEFT_OUT, "action", "automation"}
    return ["run", "script", *flag_words({k: v for k, v in given.items() if k not in skipped})]


def _without_secret(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name}=***" if equals and value and is_secret_name(name) else word
