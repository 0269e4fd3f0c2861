"""The state of the source that runs, where that is a checkout of git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import cm4storage

_PATIENCE_S = 5.0


def describe(root: Path | None = None) -> dict[str, Any] | None:
    """Return commit and whether files were changed since; None for what is no checkout.

    Parameters
    ----------
    root : Path, optional
        Default: where ``src/cm4storage`` is.
    """
    root = root or Path(cm4storage.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(root: Path, *words: str) -> str | None:
    """Return what git says; None where there is no git, or it refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            check=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
