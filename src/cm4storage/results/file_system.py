"""The file system and the block device below a folder, as Linux describes them.

Facts: proc_pid_mountinfo(5), and ``Documentation/ABI/stable/sysfs-block`` of the kernel.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cm4storage.core.errors import is_secret_name, redact_url

_MOUNTS = Path("/proc/self/mountinfo")
_DEVICES = Path("/sys/dev/block")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_SECTOR_BYTES = 512
"""The unit of ``size`` in sysfs, whatever the sectors of the device are."""


@dataclass(frozen=True)
class Mount:
    """One line of ``mountinfo``.

    Attributes
    ----------
    device : str
        ``major:minor``.
    point, kind, source, options : str
        Options are those of the mount and of the file system, without secrets.
    """

    device: str
    point: str
    kind: str
    source: str
    options: str

    @classmethod
    def parse(cls, line: str) -> Mount:
        """Return what a line says.

        Raises
        ------
        ValueError
            If it has too few fields.
        """
        left, _, right = line.partition(" - ")
        _, _, device, _, point, options, *_ = left.split(" ")
        kind, source, *rest = right.rstrip("\n").split(" ")
        words = [*options.split(","), *(rest[0].split(",") if rest else ())]
        shown = ",".join(dict.fromkeys(map(_without_secret, words)))
        return cls(device, _plain(point), kind, redact_url(_plain(source)), shown)


def _plain(text: str) -> str:
    """Return a field with its escapes in octal, of a space for one, replaced."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def _without_secret(option: str) -> str:
    name, equals, _ = option.partition("=")
    return f"{name}=***" if equals and is_secret_name(name) else redact_url(option)


def describe(folder: Path, mounts: Path = _MOUNTS) -> dict[str, Any] | None:
    """Return what is known of the file system of `folder`; None where Linux does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        found = mount_of(folder.resolve(), [Mount.parse(line) for line in lines])
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    return {
        "type": found.kind,
        "mount_point": found.point,
        "source": found.source,
        "options": found.options,
        "block_device": block_device(_device_number(found)),
    }


def mount_of(folder: Path, mounts: list[Mount]) -> Mount | None:
    """Return the mount that holds `folder`: the deepest, and of several there the last."""
    above = {str(folder), *map(str, folder.parents)}
    held = [mount for mount in mounts if mount.point in above]
    longest = max((len(mount.point) for mount in held), default=0)
    return next((mount for mount in reversed(held) if len(mount.point) == longest), None)


def _device_number(mount: Mount) -> str:
    """Return ``major:minor`` of the device; btrfs has a number of its own, and names the device."""
    if mount.device.startswith("0:") and mount.source.startswith("/dev/"):
        try:
            number = Path(mount.source).stat().st_rdev
        except OSError:
            return mount.device
        return f"{os.major(number)}:{os.minor(number)}"
    return mount.device


def block_device(number: str, devices: Path = _DEVICES) -> dict[str, Any] | None:
    """Return what is known of a block device; None where there is none, as below tmpfs or NFS."""
    place = devices / number
    if not place.exists():
        return None
    place = place.resolve()
    whole = place.parent if (place / "partition").exists() else place
    rotational = _text(whole / "queue" / "rotational")
    scheduler = re.search(r"\[([^\]]+)\]", _text(whole / "queue" / "scheduler"))
    return {
        "name": place.name,
        "model": _text(whole / "device" / "model") or None,
        "size_bytes": _number(_text(whole / "size"), _SECTOR_BYTES),
        "rotational": None if not rotational else rotational == "1",
        "scheduler": scheduler[1] if scheduler else None,
        "logical_block_bytes": _number(_text(whole / "queue" / "logical_block_size")),
        "read_ahead_bytes": _number(_text(whole / "queue" / "read_ahead_kb"), 1024),
        "made_of": sorted(each.name for each in (whole / "slaves").glob("*")),
    }


def _number(text: str, unit: int = 1) -> int | None:
    return int(text) * unit if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
