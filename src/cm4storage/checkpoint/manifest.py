"""The manifest of a checkpoint: written after its file, so that it says that all of it is there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import xxhash

from cm4storage.checkpoint.written import WrittenFile
from cm4storage.core.errors import UserError
from cm4storage.core.versions import check_version, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Final = "cm4storage.checkpoint"
VERSION: Final = 1


@dataclass(frozen=True)
class Manifest:
    """One complete checkpoint.

    Attributes
    ----------
    run_id : str
        The run that wrote it.
    step : int
        How many steps the run had taken.
    epoch : int or None
    created : str
        Local time, ISO 8601 with microseconds and offset.
    file : WrittenFile
    provenance : dict
        What the writer says of itself: workload, versions, host.
    structure : object
        How the tensors and other values are nested in the state that was handed in; None where
        they are not.
    """

    run_id: str
    step: int
    epoch: int | None
    created: str
    file: WrittenFile
    provenance: Mapping[str, Any] = field(default_factory=dict)
    structure: Any = None

    def to_json(self) -> bytes:
        """Return the content of the manifest's object."""
        document = {
            "schema": SCHEMA,
            "version": VERSION,
            "run_id": self.run_id,
            "step": self.step,
            "epoch": self.epoch,
            "created": self.created,
            "provenance": dict(self.provenance),
            "structure": self.structure,
            "file": self.file.to_document(),
        }
        document["digest"] = _digest(document)
        return json.dumps(document, indent=1, allow_nan=False).encode()

    @classmethod
    def from_json(cls, text: bytes, where: str) -> Manifest:
        """Return what `to_json` has written.

        Raises
        ------
        UserError
            If it is no manifest, or one of a newer release.
        """
        try:
            document = json.loads(text)
            check_version(version_of(document, SCHEMA), VERSION, "the manifest", where)
            _compare(document)
            return _from_document(document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                "the manifest of the checkpoint cannot be read",
                where=where,
                meaning="something else wrote it, or it is damaged",
            ) from error


def _digest(document: Mapping[str, Any]) -> str:
    """Return the XXH3 of a manifest: nothing else would tell that a number in it has changed."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    return xxhash.xxh3_128_hexdigest(json.dumps(rest, sort_keys=True).encode())


def _compare(document: Mapping[str, Any]) -> None:
    if document["digest"] != _digest(document):
        raise ValueError("its digest differs")


def _from_document(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        run_id=document["run_id"],
        step=document["step"],
        epoch=document["epoch"],
        created=document["created"],
        file=WrittenFile.from_document(document["file"]),
        provenance=document["provenance"],
        structure=document["structure"],
    )
