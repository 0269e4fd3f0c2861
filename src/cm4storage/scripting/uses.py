"""Which cache entries a run uses: nobody removes them or makes them anew while it lasts.

A file per entry carries a lock of the kernel, which ends with its holder in whatever way it ends:
shared by the runs that use the entry, exclusive for whoever removes it or makes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCKS = Path("/proc/locks")
_TURN_S = 0.02


class EntryUses:
    """The locks that one run or one command holds.

    Parameters
    ----------
    folder : Path
        Where the lock files are. They stay: removing one would let two holders in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def share(self, uid: str) -> bool:
        """Use an entry from now on; False if somebody makes or removes it right now.

        In a cache that we may not write, entries are used without a lock.
        """
        try:
            descriptor = self._open(uid)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release(uid)
            return False
        except OSError:
            self.release(uid)  # a file system without locks
        return True

    def try_claim(self, uid: str, patience_s: float) -> bool:
        """Have an entry for ourselves; False if a run still uses it after `patience_s` seconds.

        A run that only looks at an entry holds its lock for a moment, too; hence the patience.

        Raises
        ------
        OSError
            If the file system does not let us.
        """
        end_s = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._open(uid), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end_s:
                    self.release(uid)
                    return False
                time.sleep(_TURN_S)
            else:
                return True

    def claim(self, uid: str, on_wait: Callable[[], None]) -> None:
        """Have an entry for ourselves.

        Parameters
        ----------
        on_wait : callable
            Called once when a run uses the entry, before we wait for its end. It may raise.

        Raises
        ------
        OSError
            If the file system does not let us.
        """
        descriptor = self._open(uid)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def release(self, uid: str) -> None:
        """Let go of one entry."""
        descriptor = self._held.pop(uid, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of all entries."""
        for uid in list(self._held):
            self.release(uid)

    def users(self, uid: str) -> tuple[int, ...]:
        """Return the processes that hold the lock of an entry, where the kernel tells."""
        try:
            status = (self._folder / f"{uid}.use").stat()
        except OSError:
            return ()
        # The device is left out: file systems in layers show another one there than to stat.
        inode = f":{status.st_ino}"
        lines = [line.split() for line in _lines_of(_LOCKS)]
        held = [x for x in lines if len(x) > 5 and x[1] == "FLOCK" and x[5].endswith(inode)]
        return tuple(sorted({int(x[4]) for x in held if int(x[4]) > 0}))

    def _open(self, uid: str) -> int:
        if uid not in self._held:
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{uid}.use"
            self._held[uid] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._held[uid]


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
