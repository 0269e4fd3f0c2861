"""Repack installed distributions as wheels, so that tests make environments without a network.

Usage: ``python tools/offline_wheels.py FOLDER DISTRIBUTION...``; what the distributions require
comes along. Programs that a wheel puts into ``bin`` by itself are left out.
"""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """Return the distributions of these names with all that they require, by canonical name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found


def repack(distribution: metadata.Distribution, folder: Path) -> Path:
    """Write one distribution as a wheel into `folder`, and return its path."""
    name = distribution.metadata["Name"].replace("-", "_")
    path = folder / f"{name}-{distribution.version}-{_tag(distribution)}.whl"
    info = _info_folder(distribution)
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for file in distribution.files or ():
            inside = not file.is_absolute() and ".." not in file.parts
            if inside and file.suffix != ".pyc" and _is_shipped(file.parts, info):
                archive.write(str(file.locate()), str(file))
                rows.append(f"{file},,")
        record = f"{info}/RECORD"
        archive.writestr(record, "\n".join([*rows, f"{record},,", ""]))
    return path


def _tag(distribution: metadata.Distribution) -> str:
    """Return the wheel's tags in the form that a file name has: ``py2.py3-none-any``."""
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ").split("-") for line in lines if line.startswith("Tag: ")]
    return "-".join(".".join(dict.fromkeys(column)) for column in zip(*tags, strict=True))


def _info_folder(distribution: metadata.Distribution) -> str:
    return next(
        file.parts[0]
        for file in distribution.files or ()
        if file.parts[0].endswith(".dist-info") and file.name == "METADATA"
    )


def _is_shipped(parts: tuple[str, ...], info: str) -> bool:
    """Tell whether the wheel brought this file, or its installer wrote it."""
    written = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    return not (parts[0] == info and parts[-1] in written)


def main(folder: Path, names: list[str]) -> None:
    """Write the wheels of these distributions and of all that they require."""
    folder.mkdir(parents=True, exist_ok=True)
    for distribution in closure(names).values():
        repack(distribution, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
