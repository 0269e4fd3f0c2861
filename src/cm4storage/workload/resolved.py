"""A resolved workload, and the file that the other commands read it from.

Reading that file needs no YAML: a run is to begin soon.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import digest
from cm4storage.core.errors import UserError
from cm4storage.core.files import write_json_atomically
from cm4storage.core.records import dataclass
from cm4storage.core.versions import check_version
from cm4storage.workload import schema
from cm4storage.workload.model import Workload

if TYPE_CHECKING:
    from pathlib import Path

FILE_SCHEMA = "cm4storage.workload"
FILE_VERSION = 2
"""Version 1 had a digest of all values, so that a new key changed every digest."""


@dataclass(frozen=True)
class Resolved:
    """A workload and how it came about.

    Attributes
    ----------
    source : str
        The stock workload's name or the file's path.
    overrides : dict
        What the scale and the user changed in `source`, as plain values by canonical path.
    notes : tuple of str
        What the user should know: keys without effect, a scale that is not comparable.
    dialect : str
        The version of DLIO whose names the file uses; see `cm4storage.workload.dialects`.
    """

    workload: Workload
    source: str
    overrides: dict[str, Any]
    notes: tuple[str, ...]
    dialect: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return the content of a workload file."""
        return {
            "schema": FILE_SCHEMA,
            "version": FILE_VERSION,
            "digest": self.workload.digest(),
            "accelerator": self.workload.accelerator,
            "scale": self.workload.scale,
            "source": self.source,
            "dialect": self.dialect,
            "overrides": self.overrides,
            "notes": list(self.notes),
            "settings": self.workload.settings(),
        }

    def save(self, path: Path) -> None:
        """Write the workload file that all other commands read."""
        write_json_atomically(path, self.to_document())


def load(path: Path) -> Resolved:
    """Read a workload file that `Resolved.save` wrote.

    Raises
    ------
    UserError
        If the file is missing, damaged, of a newer version, or was changed by hand.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_workload_file(str(path)) from error
    return from_document(document, str(path))


def _no_workload_file(where: str) -> UserError:
    return UserError(
        "this is no workload file",
        where=where,
        advice="make one with: cm4storage workload --model=unet3d --out=workload.json",
    )


def from_document(document: object, where: str) -> Resolved:
    """Return what `Resolved.to_document` described; `where` stands in messages.

    Raises
    ------
    UserError
        If the document is damaged, of a newer version, or was changed by hand.
    """
    if not isinstance(document, dict) or document.get("schema") != FILE_SCHEMA:
        raise _no_workload_file(where)
    try:
        version = int(document["version"])
        check_version(version, FILE_VERSION, "the workload file", where)
        resolved = _restored(document)
        unchanged = _digest(document, resolved, version) == document["digest"]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"the workload file is damaged: {error!r}", where=where) from error
    if not unchanged:
        raise UserError(
            "the workload file was changed after it was made",
            where=where,
            advice="change the YAML or give --params, and resolve it again",
        )
    return resolved


def _digest(document: dict[str, Any], resolved: Resolved, version: int) -> str:
    if version > 1:
        return resolved.workload.digest()
    return digest([document["accelerator"], document["scale"], document["settings"]])


def _restored(document: dict[str, Any]) -> Resolved:
    paths = {schema.canonical_path(key): value for key, value in document["settings"].items()}
    settings = {path: schema.keys()[path].parse(value) for path, value in paths.items()}
    workload = Workload.from_settings(
        settings, accelerator=document["accelerator"], scale=document["scale"]
    )
    return Resolved(
        workload,
        document["source"],
        document["overrides"],
        tuple(document["notes"]),
        document.get("dialect", ""),
    )
