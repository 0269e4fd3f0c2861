"""Bring the git checkout of a repository to a branch or a commit."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from cm4storage.core.errors import UsageError, UserError
from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(r"\w[\w./@+-]*")
_SHOWN_CHANGES = 5
_PATIENCE_S = 60


@dataclass(frozen=True)
class Step:
    """One command, and what it is for."""

    purpose: str
    command: tuple[str, ...]


def pinning_steps(repository: Path, branch: str, checkout: str) -> Iterator[Step]:
    """Yield the git commands that bring a checkout to the newest of `branch`, or to `checkout`.

    Raises
    ------
    UserError
        If the repository is no git checkout, or holds uncommitted changes.
    """
    if not (branch or checkout):
        return
    for option, name in (("branch", branch), ("checkout", checkout)):
        if name and not _NAME.fullmatch(name):
            raise UsageError(f"--{option}={name} is no name of a {option}")
    if not (repository / ".git").exists():
        raise UserError(
            "the repository that cm runs is no git checkout, so it cannot be pinned",
            where=str(repository),
            advice="of an installed package, install the version that you want:\n"
            "pip install cm4storage==VERSION",
        )
    _refuse_changes(repository)
    git = ("git", "-C", str(repository))
    has_origin = "origin" in _output(repository, "remote").split()
    if branch:
        yield from _to_branch(git, branch, has_origin=has_origin)
    if checkout:
        if has_origin and not _is_known(repository, checkout):
            yield Step("what the origin has", (*git, "fetch", "--tags", "origin"))
        yield Step(f"pin {checkout}", (*git, "checkout", "--detach", checkout, "--"))


def _to_branch(git: tuple[str, ...], branch: str, *, has_origin: bool) -> Iterator[Step]:
    if has_origin:
        tracking = f"+refs/heads/{branch}:refs/remotes/origin/{branch}"
        yield Step(f"the newest of {branch}", (*git, "fetch", "origin", tracking))
    yield Step(f"switch to {branch}", (*git, "checkout", branch, "--"))
    if has_origin:
        newest = f"refs/remotes/origin/{branch}"
        yield Step(f"bring {branch} forward", (*git, "merge", "--ff-only", newest))


def _refuse_changes(repository: Path) -> None:
    changes = _output(repository, "status", "--porcelain").splitlines()
    if changes:
        more = ["..."] if len(changes) > _SHOWN_CHANGES else []
        raise UserError(
            "the checkout holds uncommitted changes, so it is not moved",
            where="\n".join([str(repository), *changes[:_SHOWN_CHANGES], *more]),
            advice="commit or stash them, or leave --branch and --checkout out",
        )


def _is_known(repository: Path, commit: str) -> bool:
    return bool(_output(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"))


def _output(repository: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except OSError as error:
        raise UserError(f"git cannot be started: {error.strerror}", advice="install git") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"git does not answer within {_PATIENCE_S} s",
            where=str(repository),
            advice="see whether the file system answers, and try again",
        ) from error
    if done.returncode > 1:
        raise UserError(
            "git refuses this checkout", where=str(repository), meaning=done.stderr.strip()
        )
    return done.stdout
