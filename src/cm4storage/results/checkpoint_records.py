"""What a run of checkpoints leaves behind, before any figure is computed from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import xxhash

from cm4storage.core.errors import UserError
from cm4storage.core.files import write_json_atomically
from cm4storage.core.versions import check_version, version_of
from cm4storage.results.record_places import record_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_NAME: Final = "checkpoint_run.json"
SCHEMA: Final = "cm4storage.checkpoint_run"
VERSION: Final = 1

OperationKind = Literal["save", "load"]


@dataclass(frozen=True)
class OperationRecord:
    """One checkpoint that one rank wrote or read.

    Attributes
    ----------
    kind : {'save', 'load'}
    number : int
        The checkpoint's, counted from 1: the step in the name of its folder.
    rank : int
    source_rank : int
        Whose files were written or read; another rank's with ``recovery_rank_shift``.
    start, end : str
        Local wall-clock times, ISO 8601 with microseconds.
    duration_s : float
        From the barrier to the end of the last file, with ``rank_sync`` to the end of all ranks';
        monotonic clock.
    tensor_bytes, stored_bytes : int
        The data of the tensors, and the whole files.
    files : int
    content_digest : str
        `digest_of` the files that were written, by their names: it is learned while they are
        written, and costs nothing. Empty for those that were read, whose own checksums were
        compared.
    """

    kind: OperationKind
    number: int
    rank: int
    source_rank: int
    start: str
    end: str
    duration_s: float
    tensor_bytes: int
    stored_bytes: int
    files: int
    content_digest: str = ""


@dataclass(frozen=True)
class CheckpointRunRecord:
    """One run: all checkpoints of all ranks.

    Attributes
    ----------
    start, end : str
        As in `OperationRecord`.
    workload : dict
        The workload file's content.
    layout : dict
        ``ranks``, ``prescribed_ranks`` (by MLPerf Storage's CLOSED division, or null), ``hosts``,
        the parallelism, ``is_subset``, and for one checkpoint ``files``, ``model_bytes`` and
        ``optimizer_bytes`` of all ranks.
    storage : dict
        ``uri``, ``backend``, ``server``, ``client``, ``fsync``, ``container``, ``retries``.
    page_cache : dict
        ``state``: whether the files were taken out of it before they were read, as
        `PAGE_CACHE_STATES` says; ``resident_before_reading``: the share that was still in it, 0
        to 1; null where it is not known.
    environment : dict
        Host, software and the command.
    operations : list of OperationRecord
    """

    start: str
    end: str
    workload: dict[str, Any]
    layout: dict[str, Any]
    storage: dict[str, Any]
    page_cache: dict[str, Any]
    environment: dict[str, Any]
    operations: list[OperationRecord]

    def save(self, folder: Path) -> None:
        """Write the record to `folder`."""
        document = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        write_json_atomically(folder / FILE_NAME, document)


PAGE_CACHE_STATES: Final = {
    "dropped": "dropped before reading",
    "resident": "still there before reading",
    "out of reach": "not dropped: what a service keeps in memory is out of reach",
    "nothing read": "nothing was read",
}


def digest_of(parts: Iterable[tuple[object, str]]) -> str:
    """Return one digest (XXH3, 128 bits) for parts that have a name and a digest each."""
    lines = "".join(f"{name} {digest}\n" for name, digest in parts)
    return xxhash.xxh3_128_hexdigest(lines.encode())


def local_time() -> str:
    """Return this moment as records have it."""
    now = datetime.now().astimezone()
    return now.replace(tzinfo=None).isoformat(timespec="microseconds")


def is_in(folder: Path) -> bool:
    """Tell whether `folder` holds the record of such a run, or has it beside the configuration."""
    return record_in(folder, FILE_NAME).is_file()


def load(folder: Path) -> CheckpointRunRecord:
    """Read the record of the run in `folder`, or beside its configuration.

    Raises
    ------
    UserError
        If there is none, or a newer release wrote it.
    """
    path = record_in(folder, FILE_NAME)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        check_version(version_of(document, SCHEMA), VERSION, "the run's record", str(path))
        return _from_document(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "there is no readable record of a run of checkpoints",
            where=str(path),
            advice="name the folder of one run, such as results/checkpointing/llama_8b/<time>",
        ) from error


def _from_document(document: dict[str, Any]) -> CheckpointRunRecord:
    del document["schema"], document["version"]
    operations = [OperationRecord(**each) for each in document.pop("operations")]
    return CheckpointRunRecord(**document, operations=operations)
