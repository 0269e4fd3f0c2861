"""Checks of the folders in which runs work: space, file system, locks, direct reads."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.records import dataclass
from cm4storage.core.units import GIB, MIB, format_bytes
from cm4storage.node.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNTS = Path("/proc/self/mountinfo")
_MEMORY_SYSTEMS = ("tmpfs", "ramfs")
_NETWORK_SYSTEMS = (
    *("nfs", "nfs4", "lustre", "gpfs", "ceph", "beegfs", "cifs", "smb3", "9p", "afs", "glusterfs"),
    *(
        "fuse.sshfs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.s3fs",
        "orangefs",
        "wekafs",
    ),
)
_LEAST_BYTES = 512 * MIB
_AMPLE_BYTES = 5 * GIB
_BLOCK_BYTES = 4096


@dataclass(frozen=True)
class Mount:
    """The file system in which a folder lies."""

    kind: str
    options: tuple[str, ...]


def check_folder(name: str, folder: Path, *, variable: str) -> Iterator[Finding]:
    """Yield what is found about a folder.

    Parameters
    ----------
    name : str
        What to call the folder.
    variable : str
        The environment variable by which the user chooses another.
    """
    other = f"set {variable} to another folder"
    try:
        with tempfile.TemporaryDirectory(prefix=".cm4storage-", dir=folder) as inside:
            yield ok(name, str(folder))
            yield _space(name, folder, other)
            yield _file_system(name, mount_of(folder), other)
            yield _locks(name, Path(inside), other)
            yield _direct(name, Path(inside), other)
    except OSError as error:
        yield problem(
            name,
            f"{folder} cannot be written: {error.strerror}",
            "no run can start",
            f"change its permissions, or {other}",
        )


def mount_of(folder: Path) -> Mount:
    """Return the file system of a folder; its kind is "" where nothing tells."""
    best, found = "", Mount("", ())
    place = str(folder.resolve())
    for point, mount in _mounts():
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, found = point, mount
    return found


def _mounts() -> Iterator[tuple[str, Mount]]:
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            fields, rest = before.split(" "), after.split(" ")
            point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
            yield point, Mount(rest[0], tuple(fields[5].split(",")))


def _space(name: str, folder: Path, other: str) -> Finding:
    label, free_bytes = f"{name}: space", shutil.disk_usage(folder).free
    found = f"{format_bytes(free_bytes)} free"
    if free_bytes < _LEAST_BYTES:
        meaning = "not even the quick scale has room"
        return problem(label, found, meaning, f"free space (cm prune cache), or {other}")
    if free_bytes < _AMPLE_BYTES:
        meaning = "enough for the quick scale; a stock data set needs far more"
        return warning(label, found, meaning, f"free space (cm prune cache), or {other}")
    return ok(label, found)


def _file_system(name: str, mount: Mount, other: str) -> Finding:
    label, kind = f"{name}: file system", mount.kind or "unknown"
    if "noexec" in mount.options:
        meaning = "mounted with noexec: no program in it can be started"
        return problem(label, kind, meaning, f"mount it without noexec, or {other}")
    if kind in _MEMORY_SYSTEMS:
        meaning = "it lies in memory: data in it measure the memory and leave less of it"
        return warning(label, kind, meaning, f"{other}, or give --data_dir for the data")
    if kind in _NETWORK_SYSTEMS:
        meaning = (
            "it is shared over a network: virtual environments in it start slowly on each node"
        )
        return warning(label, kind, meaning, f"{other} for each node, on a disk of its own")
    return ok(label, kind)


def _locks(name: str, inside: Path, other: str) -> Finding:
    label = f"{name}: locks"
    try:
        works = _second_lock_is_refused(inside / "lock")
    except OSError as error:
        works, reason = False, str(error.strerror)
    else:
        reason = "two holders at once"
    if works:
        return ok(label, "flock works")
    meaning = "runs at the same time can damage each other's entries"
    return problem(label, f"flock does not work: {reason}", meaning, other)


def _second_lock_is_refused(path: Path) -> bool:
    with path.open("w", encoding="ascii") as first, path.open("r", encoding="ascii") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _direct(name: str, inside: Path, other: str) -> Finding:
    label, path = f"{name}: O_DIRECT", inside / "direct"
    path.write_bytes(b"x" * _BLOCK_BYTES)
    flag = getattr(os, "O_DIRECT", 0)
    try:
        descriptor = os.open(path, os.O_RDONLY | flag)
        try:
            # An anonymous map begins at a page, as O_DIRECT wants it.
            with mmap.mmap(-1, _BLOCK_BYTES) as buffer:
                works = flag != 0 and os.preadv(descriptor, [buffer], 0) == _BLOCK_BYTES
        finally:
            os.close(descriptor)
    except OSError:
        works = False
    if works:
        return ok(label, "possible")
    meaning = "reads cannot go past the page cache: small data sets measure the memory"
    return warning(label, "not possible", meaning, f"{other}, or use data sets larger than memory")
