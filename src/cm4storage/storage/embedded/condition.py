"""What a failed request has to do with the state of the embedded server."""

from __future__ import annotations

import os
import re
import select
import socket
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import MIB, format_bytes
from cm4storage.storage.embedded.logs import tail
from cm4storage.storage.embedded.paths import ServerPaths
from cm4storage.storage.file_faults import file_fault

if TYPE_CHECKING:
    from pathlib import Path

# The server stops to take data when 1 % of the disk or less is free; it also needs some for itself.
_LOW_PART: Final = 0.02
_LOW_BYTES: Final = 16 * MIB
# When a server dies, its supervisor notices, logs its last words and goes.
_DEATH_LIMIT_S: Final = 1.0
_LOG_LINES: Final = 200
_LONGEST_LINE: Final = 300
_FAILURE = re.compile(
    r"no space left|no writable volumes|no free volumes|panic|fatal|out of memory|too many open",
    re.IGNORECASE,
)
# Its log marks errors by the first letter; remarks of lesser rank about failures are common.
_MARKED_ERROR = re.compile(r"^[EF]\d{4} ")


def free_bytes(folder: Path) -> int:
    """Return the space that is left in the server's folder.

    Raises
    ------
    StorageFault
        If the file system does not say.
    """
    try:
        space = os.statvfs(folder)
    except OSError as error:
        raise file_fault(error, "ask for the free space", str(folder)) from error
    return space.f_bavail * space.f_frsize


def has_ended(link: socket.socket, wait_s: float = _DEATH_LIMIT_S) -> bool:
    """Tell whether the supervisor has gone, or goes within `wait_s`: its connection ends then."""
    if link.fileno() < 0:
        return True
    poll = select.poll()  # select() cannot watch high descriptors
    poll.register(link, select.POLLIN)
    if not poll.poll(wait_s * 1000):
        return False
    try:
        return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except OSError:
        return True


def explained(fault: StorageFault, folder: Path, *, has_ended: bool) -> StorageFault:
    """Return `fault` with what the server's state has to do with it."""
    room = _shortage(folder)
    where, meaning = f"{fault.where}; its folder is {folder}", f"{room}{_said(folder)}"
    make_room = "free some space there, or choose another folder with --data_dir"
    if has_ended:
        again = "run the command again: it starts a new server, and the data are kept"
        return StorageFault(
            f"{fault.what.partition(':')[0]}: the embedded server of this run has ended",
            where=where,
            meaning=meaning,
            advice=f"{make_room}; then {again}" if room else again,
        )
    return StorageFault(
        f"{fault.what} (it is the embedded server of this run)",
        where=where,
        meaning=meaning,
        advice=make_room if room else f"see {ServerPaths(folder).server_log}",
    )


def _shortage(folder: Path) -> str:
    """Return a text that says how little space is left; empty where there is enough."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return ""
    left_bytes = space.f_bavail * space.f_frsize
    if left_bytes >= max(_LOW_BYTES, _LOW_PART * space.f_blocks * space.f_frsize):
        return ""
    return f"only {format_bytes(left_bytes)} are free in its folder; "


def _said(folder: Path) -> str:
    """Return the last line of the server's log that tells of a failure; it has no credentials."""
    lines = tail(ServerPaths(folder).server_log, _LOG_LINES).splitlines()
    for pattern in (_FAILURE, _MARKED_ERROR):
        for line in reversed(lines):
            if pattern.search(line):
                return f"its log says: {line.strip()[:_LONGEST_LINE]}"
    return "its log tells of no failure"
