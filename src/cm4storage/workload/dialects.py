"""Which of DLIO's three dialects a workload is written in.

The release of 2024 on PyPI, the sources of 2026, and the fork of MLCommons (3.0.2) call some values
differently, and know keys that the others ignore without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.workload import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cm4storage.workload.entries import Entry

RELEASE_2024 = "DLIO 2.0.0 (PyPI, 2024)"
SOURCES_2026 = "DLIO sources of 2026"
MLCOMMONS_3 = "MLCommons DLIO 3.0.2"
ANY = "any"

_NEW_IN_2026 = (
    "model.",
    "dataset.hdf5.",
    "dataset.record_dims",
    "dataset.record_element_type",
    "dataset.record_length_bytes",
    "reader.odirect",
    "reader.pin_memory",
    "reader.transformed_record_",
    "storage.storage_options.",
    "checkpoint.fsync",
    "checkpoint.ksm.",
    "checkpoint.num_checkpoints_",
    "checkpoint.randomize_tensor",
    "checkpoint.rank_sync",
    "checkpoint.recovery_rank_shift",
    "checkpoint.time_between_checkpoints",
    "output.metric.",
)
_NEW_IN_MLCOMMONS = (
    "dataset.parquet.",
    "dataset.skip_listing",
    "dataset.listing_",
    "dataset.data_gen_method",
    "reader.write_threads",
    "storage.storage_library",
    "storage.post_generation_settle_seconds",
    "storage.storage_options.storage_library",
)
_NEW_VALUES = {"dataset.format": "parquet", "storage.storage_type": "direct_fs"}
_ONLY_2024 = ("workflow.debug",)


@dataclass(frozen=True)
class Dialect:
    """The dialect of a workload.

    Attributes
    ----------
    name : str
        The newest dialect that knows all of its names; `ANY` where none is particular to one.
    evidence : tuple of str
        The names that say so.
    older_names : tuple of str
        Names that only the release of 2024 knows, where `name` is a newer dialect: DLIO itself
        would ignore one half or the other.
    """

    name: str = ANY
    evidence: tuple[str, ...] = ()
    older_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it with its evidence, as a command shows it."""
        if self.name == ANY:
            return "any: no key is particular to one version of DLIO"
        shown = ", ".join(self.evidence[:3])
        more = f" and {len(self.evidence) - 3} more" if len(self.evidence) > 3 else ""
        return f"{self.name}: {shown}{more}"

    def notes(self) -> list[str]:
        """Return what a user should know of a mixture."""
        if not self.older_names:
            return []
        names = ", ".join(self.older_names)
        mixture = f"{names}: of {RELEASE_2024}, beside names of {self.name}"
        return [f"{mixture}; both are understood here, but DLIO may ignore one"]


def detect(entries: Iterable[Entry]) -> Dialect:
    """Return the dialect of what stands in files; overrides do not count."""
    written = [entry for entry in entries if entry.origin.kind in ("file", "stock")]
    older = sorted(entry.name for entry in written if _is_of_2024(entry))
    newest = sorted(entry.name for entry in written if _is_of_mlcommons(entry))
    new = sorted(entry.name for entry in written if _is_of_2026(entry))
    if newest:
        return Dialect(MLCOMMONS_3, tuple(newest), tuple(older))
    if new:
        return Dialect(SOURCES_2026, tuple(new), tuple(older))
    return Dialect(RELEASE_2024, tuple(older)) if older else Dialect()


def _is_of_2024(entry: Entry) -> bool:
    is_alias = entry.name in schema.aliases() and not entry.name.startswith(("storage.", "output."))
    return is_alias or entry.name in _ONLY_2024


def _is_of_2026(entry: Entry) -> bool:
    return entry.name.startswith(_NEW_IN_2026) or entry.name == "checkpoint.mode"


def _is_of_mlcommons(entry: Entry) -> bool:
    return entry.name.startswith(_NEW_IN_MLCOMMONS) or (
        entry.path in _NEW_VALUES and entry.raw == _NEW_VALUES[entry.path]
    )
