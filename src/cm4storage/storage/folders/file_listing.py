"""Walking a folder in the order of keys, one folder in memory at a time."""

# Making a Path costs more than looking at a file.
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.keys import is_temporary, is_valid
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Iterator

_Identity = tuple[int, int]


def list_files(root: str, prefix: str) -> Iterator[ObjectStat]:
    """Yield the files below `root` whose key starts with `prefix`, in the order of their keys.

    Names that cannot be keys (not UTF-8, control characters) and files that a write has not
    finished are left out. Symbolic links are followed, but not into a folder that is being walked.
    """
    folder = prefix.rpartition("/")[0]
    if folder and not is_valid(folder):
        return
    yield from _walk(root, f"{folder}/" if folder else "", prefix, frozenset())


def list_folders(root: str) -> Iterator[str]:
    """Yield the names of the folders directly below `root` that hold files, in order."""
    names = (key.rstrip("/") for key, is_folder in _sorted_keys(root, "") if is_folder)
    for name in sorted(names):
        if _holds_a_file(f"{root}/{name}"):
            yield name


def _holds_a_file(folder: str) -> bool:
    """Tell whether a file is below `folder`; one that we may not enter counts as holding some."""
    try:
        with os.scandir(folder) as entries:
            folders = []
            for entry in entries:
                if entry.is_file() and not is_temporary(entry.name):
                    return True
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    except PermissionError:
        return True
    except OSError:
        return False
    return any(_holds_a_file(path) for path in folders)


def _walk(
    root: str, folder: str, prefix: str, ancestors: frozenset[_Identity]
) -> Iterator[ObjectStat]:
    """Yield what is below `folder`, which is empty or ends with ``/``."""
    identity = _identity(f"{root}/{folder}")
    if identity is None or identity in ancestors:
        return
    for key, is_folder in _sorted_keys(root, folder):
        if is_folder:
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(root, key, prefix, ancestors | {identity})
        elif key.startswith(prefix):
            size_bytes = _regular_size(f"{root}/{key}")
            if size_bytes is not None:
                yield ObjectStat(key, size_bytes)


def _sorted_keys(root: str, folder: str) -> list[tuple[str, bool]]:
    """Return the keys directly in `folder`, with ``/`` at the end of a folder's.

    Sorting with that ``/`` gives the order of full keys: ``a-b`` comes before ``a/b``.
    """
    path = f"{root}/{folder}"
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if is_temporary(entry.name) or not is_valid(entry.name):
                    continue
                is_folder = entry.is_dir()
                found.append((f"{folder}{entry.name}{'/' if is_folder else ''}", is_folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise file_fault(error, "list the folder", path) from error
    return sorted(found)


def _identity(path: str) -> _Identity | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise file_fault(error, "list the folder", path) from error
    return status.st_dev, status.st_ino


def _regular_size(path: str) -> int | None:
    """Return a regular file's size; None for anything else and for a file that has just gone."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_fault(error, "look at the object", path) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None
