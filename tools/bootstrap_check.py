"""Tell by the exit code, silently, whether ``bootstrap`` can run its command at once.

It runs on every call, in the environment's own interpreter but without ``site``, so it imports
little. Arguments: a question (see `main`), the checkout and, for ``registered``, ``CM_REPOS``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

AUTOMATIONS = {"script": "5b4e0237da074764", "cache": "541d6f712a6b464e"}
"""The automations that must be this checkout's: name and identifier."""

_AUTOMATION_OF_AUTOMATIONS = "bbeb15d8f0a944a4"


def stamp_file(checkout: Path) -> Path:
    """Return the file that is written when the environment is complete."""
    return checkout / ".venv" / "cm4storage-stamp"


def stamp(checkout: Path) -> str:
    """Return the stamp that an environment of the running interpreter must bear.

    The interpreter counts by path and by major and minor version: a newer patch release in the
    same place runs the same environment.
    """
    digest = hashlib.sha256((checkout / "pyproject.toml").read_bytes()).hexdigest()
    interpreter = (checkout / ".venv" / "bin" / "python").resolve()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = (f"pyproject.toml {digest}", f"interpreter {interpreter} {version}", str(checkout))
    return "\n".join(lines) + "\n"


def _read_stamp(checkout: Path) -> str:
    try:
        return os.fsdecode(stamp_file(checkout).read_bytes())
    except OSError:
        return ""


def is_in_place(checkout: Path) -> bool:
    """Tell whether ``.venv`` was completed here, with this interpreter, for any pyproject.toml."""
    return _read_stamp(checkout).splitlines()[1:] == stamp(checkout).splitlines()[1:]


def is_ready(checkout: Path) -> bool:
    """Tell whether ``.venv`` is complete, up to date and holds this checkout's code."""
    return _read_stamp(checkout) == stamp(checkout) and not _holds_a_copy(checkout)


def _holds_a_copy(checkout: Path) -> bool:
    """Tell whether a wheel of this project was installed over the editable installation."""
    return any((checkout / ".venv").glob("lib/python3*/site-packages/cm4storage/__init__.py"))


def repository_folder(cm_repos: Path, registered: str) -> Path:
    """Return the folder of an entry of ``repos.json``, which may be relative."""
    return cm_repos / "repos" / registered


def is_repository(folder: Path) -> bool:
    """Tell whether cmind takes this folder for a repository."""
    return (folder / "cmr.yaml").is_file() or (folder / "cmr.json").is_file()


def read_json(path: Path) -> Any:
    """Return the file's content, or None where it is missing or half-written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_registered(checkout: Path, cm_repos: Path) -> bool:
    """Tell whether cmind knows this checkout, and all else that it knows is still there.

    cmind warns about a repository that is gone and rewrites its list, which many calls at once
    must not do.
    """
    registered = read_json(cm_repos / "repos.json")
    if not isinstance(registered, list) or not is_repository(cm_repos / "repos" / "local"):
        return False
    folders = [repository_folder(cm_repos, str(entry)) for entry in registered]
    return all(map(is_repository, folders)) and any(_same(each, checkout) for each in folders)


def foreign_automation(checkout: Path, cm_repos: Path) -> tuple[str, Path | None] | None:
    """Return the first automation that cmind would take from elsewhere, and from where.

    cmind's index decides: it holds one path for each name and for each identifier.

    Returns
    -------
    tuple or None
        The automation's name and the folder that would run (None when cmind knows no folder);
        None when all of this checkout's automations run.
    """
    index = read_json(cm_repos / "index.json")
    known = index.get(_AUTOMATION_OF_AUTOMATIONS, {}) if isinstance(index, dict) else {}
    for name, uid in AUTOMATIONS.items():
        for key in (name, uid):
            path = known.get(key, {}).get("path")
            if path is None:
                return name, None
            if not _same(Path(path), checkout / "automation" / name):
                return name, Path(path)
    return None


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def main(question: str, checkout: Path, cm_repos: Path = Path()) -> bool:
    """Answer a question: ``ready``, ``registered`` (and ready), ``in-place`` or ``stamp``."""
    if question == "stamp":
        sys.stdout.buffer.write(os.fsencode(stamp(checkout)))
        return True
    if question == "in-place":
        return is_in_place(checkout)
    if question == "registered":
        return (
            is_ready(checkout)
            and is_registered(checkout, cm_repos)
            and foreign_automation(checkout, cm_repos) is None
        )
    return is_ready(checkout)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1], *map(Path, sys.argv[2:])))
