"""Checks of cm itself: whether this repository is registered, and whose automations run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.core.records import dataclass
from cm4storage.node.findings import Finding, ok, problem, warning
from cm4storage.scripting.automations import CACHE_AUTOMATION, SCRIPT_AUTOMATION
from cm4storage.scripting.metadata_files import read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.scripting.index import Repository

_AUTOMATION_OF_AUTOMATIONS = "bbeb15d8f0a944a4"


@dataclass(frozen=True)
class Registration:
    """What cm knows.

    Parameters
    ----------
    repository : Path
        The repository that this code belongs to.
    home : str
        The alias under which it is registered.
    repositories : sequence of Repository
        All repositories, in cm's order.
    cm_repos : Path
        The folder of cm's lists.
    """

    repository: Path
    home: str
    repositories: Sequence[Repository]
    cm_repos: Path


def check_registration(known: Registration) -> Iterator[Finding]:
    """Yield what is found about the registration and about rival automations."""
    yield _repository(known)
    for name, uid in (SCRIPT_AUTOMATION, CACHE_AUTOMATION):
        yield _automation(known, name, uid)


def _repository(known: Registration) -> Finding:
    name, folder = "repository", known.repository
    kind = "checkout" if (folder / ".git").exists() else "without git"
    if folder.name == "repo" and (folder.parent / "__init__.py").is_file():
        kind = "installed package"
    commit = git_commit(folder) if kind == "checkout" else ""
    found = f"{known.home}: {folder} ({kind}{', ' + commit if commit else ''})"
    twins = [str(each.folder) for each in known.repositories if _is_twin(each.folder, folder)]
    if twins:
        return warning(
            name,
            found,
            f"another copy is registered, too: {', '.join(twins)}; cm may take recipes from either",
            "remove one of them: cm rm repo ALIAS -f, or pip uninstall cm4storage",
        )
    return ok(name, found)


def _is_twin(folder: Path, own: Path) -> bool:
    if folder == own or not (folder / "automation" / "cm4storage").is_dir():
        return False
    return (folder / "script" / "get-cm4storage-python").is_dir()


def git_commit(folder: Path) -> str:
    """Return the commit of a checkout in short; "" where git does not tell."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else ""


def _automation(known: Registration, name: str, uid: str) -> Finding:
    label, own = f"automation {name}", known.repository / "automation" / name
    rivals = list(_claimants(known, name, uid))
    winner = _indexed(known, name, uid) or (rivals[0] if rivals else own)
    others = ", ".join(str(folder) for folder in rivals if folder != winner)
    if winner.resolve() != own.resolve():
        own_repos = f"CM_REPOS=FOLDER cm init repo --path={known.repository}"
        return problem(
            label,
            f"cm runs {winner}, not {own}",
            f"cm run {name} is another repository's: its cache does not notice changed inputs",
            f"call ours by name: cm run {known.home}:script --tags=...\n"
            f"or keep the repositories apart: {own_repos}",
        )
    if others:
        return warning(
            label,
            f"cm runs ours; there are others: {others}",
            "cm takes the one that was registered first, or, without its index, refuses",
            f"to be sure, name it: cm run {known.home}:script --tags=...",
        )
    return ok(label, str(own))


def _claimants(known: Registration, name: str, uid: str) -> Iterator[Path]:
    """Yield the folders of all automations of a name or identifier, in cm's order."""
    for repository in known.repositories:
        folder = repository.folder / "automation" / name
        if folder.is_dir() and (folder / "module.py").is_file():
            try:
                raw: dict[str, Any] = dict(read_metadata(folder))
            except StorageBenchmarkError:
                raw = {}
            if raw.get("alias", name) == name or str(raw.get("uid", "")) == uid:
                yield folder


def _indexed(known: Registration, name: str, uid: str) -> Path | None:
    """Return the folder that cm's index gives for an automation; a rival's before ours."""
    index = _read_json(known.cm_repos / "index.json")
    entries = index.get(_AUTOMATION_OF_AUTOMATIONS, {}) if isinstance(index, dict) else {}
    paths = [entries.get(key, {}).get("path") for key in (name, uid)]
    found = [Path(path) for path in paths if path]
    own = (known.repository / "automation" / name).resolve()
    return next((path for path in found if path.resolve() != own), next(iter(found), None))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
