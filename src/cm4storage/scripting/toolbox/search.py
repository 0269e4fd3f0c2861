"""Finding files for recipes: in a list of folders, below them, and above a place."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_VERSION_SUFFIXES = (
    *("", ".[0-9]", ".[0-9][0-9]", "-[0-9]", "-[0-9][0-9]", "[0-9]", "[0-9][0-9]"),
    *("[0-9].[0-9]", "[0-9][0-9].[0-9]", "[0-9][0-9].[0-9][0-9]"),
)
"""What stands behind a tool's name where several versions are installed: ``gcc-12``."""


def files_in(
    folders: Iterable[str], pattern: str, *, is_regex: bool, accepts: Callable[[str], bool]
) -> list[str]:
    """Return the files that match `pattern`, in the order of the folders, each file once.

    Parameters
    ----------
    pattern : str
        A glob pattern, also tried with a version behind it; or a regular expression that a name
        must begin with.
    accepts : callable
        Says of a path whether the recipe takes it.
    """
    names = _matching if is_regex else _versioned
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder in folders:
        for path in names(folder, pattern) if Path(folder).is_dir() else ():
            identity = _identity(path)
            if identity not in seen and accepts(path):
                found.append(path)
                if identity is not None:
                    seen.add(identity)
    return found


def folders_with(folders: Iterable[str], name: str, restricted_to: Iterable[str] = ()) -> list[str]:
    """Return every folder at or below `folders` that holds a file called `name`.

    Parameters
    ----------
    restricted_to : iterable of str
        If not empty, the path must contain one of these texts.
    """
    wanted = tuple(restricted_to)
    found = [
        root
        for folder in folders
        for root, _, names in os.walk(folder, followlinks=False)
        if name in names
    ]
    return [each for each in found if not wanted or any(text in each for text in wanted)]


def folder_above(folder: str, name: str) -> str:
    """Return the nearest of `folder` and those above it that holds a file `name`; "" if none."""
    start = Path(folder)
    for each in (start, *start.parents) if folder else ():
        if (each / name).is_file():
            return str(each)
    return ""


def _matching(folder: str, pattern: str) -> Iterator[str]:
    compiled = re.compile(pattern)
    for entry in sorted(os.listdir(folder)):  # noqa: PTH208 - texts are what recipes expect
        if compiled.match(entry):
            yield os.path.join(folder, entry)  # noqa: PTH118 - keeps ".." and "." as they are


def _versioned(folder: str, pattern: str) -> Iterator[str]:
    start = os.path.join(glob.escape(folder), pattern)  # noqa: PTH118 - as above
    for suffix in _VERSION_SUFFIXES:
        yield from sorted(glob.glob(f"{start}{suffix}"))  # noqa: PTH207 - as above


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a text, as recipes expect
    except OSError:
        return None
    return status.st_dev, status.st_ino
