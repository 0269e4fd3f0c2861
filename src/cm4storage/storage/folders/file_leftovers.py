"""Temporary files of writers that were killed: found again, and removed.

A writer holds a lock on its temporary file; the kernel frees it when the writer dies. A file that
nobody holds and that has not changed for an hour is a leftover. The hour is measured between two
files on the same file system, not with this machine's clock, and covers what a lock cannot: the
moments before it is taken and after it is freed, and mounts on which locks do not reach other
machines.
"""

# Making a Path costs more than the work here.
# ruff: noqa: PTH108

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Final

from cm4storage.storage.keys import is_temporary

STALE_S: Final = 3600.0


def hold(descriptor: int) -> None:
    """Mark the open temporary file as one that is being written."""
    with contextlib.suppress(OSError):  # file systems without locks have their hour
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(folder: str, now_s: float) -> None:
    """Remove the leftovers in `folder`.

    Parameters
    ----------
    folder : str
        Not the folders below it.
    now_s : float
        The time of change of a file that was just made there.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(entry.name):
                _remove_leftover(entry, now_s)


def _remove_leftover(entry: os.DirEntry[str], now_s: float) -> None:
    """Remove the file unless it is young or held; what cannot be removed is left alone."""
    with contextlib.suppress(OSError):
        if now_s - entry.stat(follow_symlinks=False).st_mtime < STALE_S:
            return
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(entry.path)
        finally:
            os.close(descriptor)
