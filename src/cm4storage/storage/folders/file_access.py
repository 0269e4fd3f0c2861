"""Opening files to read them, and what all reads of files share."""

# Making a Path costs more than reading a small file.
# ruff: noqa: PTH110, PTH120

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.storage.file_faults import file_fault, missing_file

if TYPE_CHECKING:
    from collections.abc import Sequence

# O_NONBLOCK: opening a named pipe must fail, not wait for a writer. Files ignore it.
READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
MOST_BUFFERS: Final = os.sysconf("SC_IOV_MAX")


def check_range(start: int, length: int | None) -> None:
    """Refuse a range that cannot be.

    Raises
    ------
    ValueError
    """
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"a range starts at 0 or later and is not negative: {start}, {length}")


def existing_folder(path: str) -> str:
    """Return `path`, or the lowest folder above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def open_to_read(path: str) -> tuple[int, int]:
    """Open a regular file; return its descriptor and size."""
    descriptor = open_unseen(path)
    return descriptor, status_of(descriptor, path).st_size


def open_unseen(path: str) -> int:
    """Open what should be a file to read it; what it is shows when it is read."""
    try:
        return os.open(path, READ_FLAGS)
    except OSError as error:
        raise read_fault(error, "open the object", path) from error


def status_of(descriptor: int, path: str) -> os.stat_result:
    """Return the status of an open regular file; close one that is none."""
    try:
        status = os.fstat(descriptor)
        check_regular(status, path)
    except BaseException:
        os.close(descriptor)
        raise
    return status


def check_regular(status: os.stat_result, path: str) -> None:
    """Refuse what is no file.

    Raises
    ------
    MissingObject
        For a folder.
    StorageFault
        For a pipe, a device, ...
    """
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise missing_file(path, "there is a folder of this name")
    raise StorageFault("the object is not a regular file", where=path)


def read_fault(error: OSError, action: str, path: str) -> StorageFault:
    """Return the fault for an `action` on a file that may not be there."""
    if error.errno in ABSENT:
        return missing_file(path)
    return file_fault(error, action, path)


def ended_early(path: str, at: int, missing_bytes: int) -> StorageFault:
    """Return the fault for a file that was longer when it was opened."""
    return StorageFault(
        f"the file ends at byte {at}, {missing_bytes} bytes early",
        where=path,
        meaning="another program truncated it while it was read",
    )


def unfilled(buffers: Sequence[memoryview], count: int) -> Sequence[memoryview]:
    """Return what `count` bytes leave of `buffers`."""
    for place, buffer in enumerate(buffers):
        if count < buffer.nbytes:
            rest = buffer.cast("B")[count:] if count else buffer
            return [rest, *buffers[place + 1 :]]
        count -= buffer.nbytes
    return ()
