"""The folder of one run's results: complete under its name, or not there.

A run writes into a hidden folder beside its final place, whose lock it holds, and renames it in the
end. Whatever a killed run left is removed by the next one, since nobody holds its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PREFIX = ".unfinished-"
_ATTEMPTS = 20


@contextlib.contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Lend a hidden folder in `parent`, which is made where it is missing.

    In the end the hidden folder is removed unless it was published, and of the folders above it
    those that were made for it and are empty.

    Raises
    ------
    StorageFault
        If it cannot be made.
    """
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        folder, lock = _make(parent)
    except OSError as error:
        _remove_empty(missing)
        raise StorageFault(
            f"cannot make a folder for the results: {error.strerror}",
            where=str(error.filename or parent),
            advice="choose another folder with --results_dir",
        ) from error
    try:
        _sweep(parent, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        _remove_empty(missing)


def _make(parent: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor that holds its lock."""
    for _ in range(_ATTEMPTS):
        parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another run removed the empty parent
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():  # another run may have swept it before we held the lock
                return folder, lock
            os.close(lock)
    raise FileNotFoundError(2, os.strerror(2), str(parent))


def _sweep(parent: Path, own: Path) -> None:
    """Remove what killed runs left."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if folder == own:
            continue
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def publish(unfinished: Path, start: datetime) -> Path:
    """Rename the folder to the time of the start, or to the next second that is free.

    A folder of results is never empty, and so the rename fails on it: names are exclusive.

    Raises
    ------
    StorageFault
        If there is no free name.
    """
    unfinished.chmod(0o777 & ~_umask())
    for second in range(3600):
        name = (start + timedelta(seconds=second)).strftime("%Y%m%d_%H%M%S")
        with contextlib.suppress(OSError):
            return unfinished.rename(unfinished.with_name(name))
    raise StorageFault("cannot name the folder of the results", where=str(unfinished.parent))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
