"""What the file system's error numbers mean to a user."""

from __future__ import annotations

import errno
from typing import Final

from cm4storage.core.errors import StorageFault
from cm4storage.storage.store import MissingObject

_CAUSES: Final[dict[int, tuple[str, str]]] = {
    errno.EACCES: (
        "this user has no permission on the file or on a folder above it",
        "check with `namei -l PATH`, or choose another folder",
    ),
    errno.EPERM: ("the file system or its mount forbids this", "choose another folder"),
    errno.ENOSPC: ("the file system is full", "free some space, or choose another folder"),
    errno.EDQUOT: ("this user's quota is used up", "free some space, or choose another folder"),
    errno.EROFS: ("the file system is mounted read-only", "choose a folder that can be written"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "move that file away"),
    errno.EISDIR: ("there is a folder of this name", "choose another name, or move the folder"),
    errno.ENOTEMPTY: ("there is a folder of this name", "choose another name, or move the folder"),
    errno.EEXIST: ("there is something else of this name", "choose another name"),
    errno.EIO: ("the device failed, or the server of the mount", "look at `dmesg`"),
    errno.ESTALE: ("the file server forgot the file", "mount the file system again"),
    errno.ENAMETOOLONG: ("a part of the path is longer than the file system allows", ""),
    errno.ELOOP: ("symbolic links form a loop", "remove the loop"),
    errno.EMFILE: ("this process has too many open files", "raise `ulimit -n`"),
    errno.ENFILE: ("the system has too many open files", "raise fs.file-max"),
    errno.ENOMEM: ("there is not enough memory for the buffer", "read the object in ranges"),
    errno.EFBIG: ("the file is larger than the file system or `ulimit -f` allows", ""),
}


def file_fault(error: OSError, action: str, path: str) -> StorageFault:
    """Return the fault that tells a user why `action` on `path` failed."""
    number = error.errno or 0
    meaning, advice = _CAUSES.get(number, ("", ""))
    reason = error.strerror or type(error).__name__
    return StorageFault(f"cannot {action}: {reason}", where=path, meaning=meaning, advice=advice)


def missing_file(path: str, meaning: str = "") -> MissingObject:
    """Return the fault for a file that is not there."""
    return MissingObject("the object does not exist", where=path, meaning=meaning)
