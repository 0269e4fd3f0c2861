"""Probes of a folder and the file system below it."""

from __future__ import annotations

import errno
import mmap
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_bytes
from cm4storage.storage.diagnosis.bench import Access
from cm4storage.storage.diagnosis.findings import NotTried, Observation, Probe
from cm4storage.storage.diagnosis.measuring import latencies
from cm4storage.storage.diagnosis.operations import OBJECT
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders.alignment import file_system_of
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.bench import Bench
    from cm4storage.storage.diagnosis.ledger import Writing

_BLOCK_BYTES: Final = 4096
_SYNCS: Final = 10
_MOST_SKEW_S: Final = 60.0
_IN_MEMORY: Final = ("tmpfs", "ramfs")
_OVER_A_NETWORK: Final = ("nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "gpfs", "beegfs", "9p")


def _open(bench: Bench) -> Observation:
    path = bench.location.path
    bench.note_missing_folders(path)
    bench.access = Access(bench.resources.enter_context(open_store(bench.location, fsync=True)))
    there = _nearest(path)
    try:
        status = there.stat()
        with os.scandir(there) as entries:
            next(entries, None)
    except OSError as error:
        raise file_fault(error, "look into the folder", str(there)) from error
    shown = f"{there} exists" if there == path else f"it will be made in {there}"
    return Observation(f"{shown}, mode {status.st_mode & 0o7777:o}, of user {status.st_uid}")


def _nearest(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def _tell_file_system(bench: Bench) -> Observation:
    there = _nearest(bench.location.path)
    kind = file_system_of(str(there))
    is_read_only = bool(os.statvfs(there).f_flag & os.ST_RDONLY)
    notes = [kind]
    if is_read_only:
        notes.append("mounted read-only")
    if kind in _IN_MEMORY:
        notes.append("its files are memory: no figure from it tells of a disk")
    if kind in _OVER_A_NETWORK or kind.startswith("fuse."):
        notes.append("over a network or another program")
    return Observation(", ".join(notes), {"type": kind, "read_only": is_read_only})


def _tell_space(bench: Bench) -> Observation:
    free_bytes = bench.store.free_bytes()
    if free_bytes is None:
        raise NotTried("the service does not tell")
    return Observation(f"{format_bytes(free_bytes)} free", {"free_bytes": free_bytes})


def _read_past_the_cache(bench: Bench) -> Observation:
    path = _path(bench, OBJECT)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT
    try:
        descriptor = os.open(path, flags)
        try:
            with mmap.mmap(-1, _BLOCK_BYTES) as block:
                os.preadv(descriptor, [block], 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        return _no_direct_reads(bench, error, path)
    kind = file_system_of(path)
    if kind in _IN_MEMORY:
        return Observation(f"taken, without a meaning: {kind} is memory", {"o_direct": False})
    return Observation(f"possible, in blocks of {_BLOCK_BYTES} bytes", {"o_direct": True})


def _no_direct_reads(bench: Bench, error: OSError, path: str) -> Observation:
    if error.errno != errno.EINVAL:
        raise file_fault(error, "read with O_DIRECT", path) from error
    kind = file_system_of(path)
    if bench.location.scheme == "directio":
        raise StorageFault(
            f"the file system {kind} refuses O_DIRECT",
            where=path,
            meaning="nothing can be read or written past the page cache there",
            advice="use a folder on ext4 or xfs, or file:// in place of directio://",
        ) from error
    return Observation(f"refused by {kind}: reader.odirect is not possible", {"o_direct": False})


def _measure_sync(bench: Bench) -> Observation:
    path = _path(bench, "synced")
    try:
        with bench.writing("synced") as writing:
            times_s = _time_syncs(path, writing)
    except OSError as error:
        raise file_fault(error, "sync a file", path) from error
    return latencies(f"{_SYNCS} times 4 KiB and fsync", times_s)


def _time_syncs(path: str, writing: Writing) -> list[float]:
    times_s = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(_SYNCS):
            writing.check()
            os.write(descriptor, bytes(_BLOCK_BYTES))
            begin = time.perf_counter()
            os.fsync(descriptor)
            times_s.append(time.perf_counter() - begin)
    finally:
        os.close(descriptor)
    return times_s


def _compare_clocks(bench: Bench) -> Observation:
    path = Path(_path(bench, "clock"))
    try:
        with bench.writing("clock"):
            path.write_bytes(b"x")
            skew_s = round(path.stat().st_mtime - time.time(), 1)
    except OSError as error:
        raise file_fault(error, "write a file", str(path)) from error
    if abs(skew_s) > _MOST_SKEW_S:
        raise StorageFault(
            f"the file system's clock is {skew_s:+.0f} s off this machine's",
            where=str(path),
            meaning="the file server and this machine do not agree on the time",
            advice="let chronyd or systemd-timesyncd set both clocks: timedatectl",
        )
    return Observation(f"{skew_s:+.1f} s against this machine's", {"skew_s": skew_s})


def _path(bench: Bench, name: str) -> str:
    return str(bench.location.path / bench.key(name))


FIRST: Final = (
    Probe("folder", _open),
    Probe("file system", _tell_file_system),
    Probe("space", _tell_space, ("folder",)),
)
AFTER_WRITE: Final = (
    Probe("O_DIRECT", _read_past_the_cache, ("write",)),
    Probe("fsync", _measure_sync, ("write",), limit_s=60.0),
    Probe("clock", _compare_clocks, ("write",)),
)
