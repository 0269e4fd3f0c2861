"""What fixes the bytes of a data set, and the name that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import digest
from cm4storage.core.records import dataclass
from cm4storage.workload.model import plain
from cm4storage.workload.sections import DatasetSection

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload

CONTENT_VERSION = 1
"""That of `cm4storage.dataset.contents`."""
CONTENT_SEED = 10
"""The seed of DLIO's own generator; MLPerf Storage's rules keep it fixed."""

ENCODER_VERSIONS = {
    "npz": 1,
    "npy": 1,
    "hdf5": 1,
    "tfrecord": 2,
    "csv": 1,
    "jpeg": 1,
    "png": 1,
    "indexed_binary": 1,
    "mmap_indexed_binary": 1,
    "parquet": 1,
    "synthetic": 1,
}
"""Raised by hand when an encoder's bytes change; never derived from our code."""

_KEYS = (
    "format",
    "file_prefix",
    "num_files_train",
    "num_files_eval",
    "num_samples_per_file",
    "num_subfolders_train",
    "num_subfolders_eval",
    "record_length_bytes",
    "record_length_bytes_stdev",
)
_LATER_KEYS = (
    "record_dims",
    "element_type",
    "compression",
    "compression_level",
    "hdf5_chunk_dims",
    "hdf5_num_dset_per_record",
    "hdf5_max_shape",
    "parquet_columns",
    "parquet_row_group_size",
    "parquet_partition_by",
    "parquet_generation_batch_size",
)
"""Facts only where they are not the default, so that older data sets keep their identity."""
_DEFAULTS = DatasetSection()


@dataclass(frozen=True)
class Identity:
    """Everything that determines the bytes of a data set.

    Attributes
    ----------
    model : str
        Part of the folder's name for people; not of the digest.
    facts : dict
        The determining values, by key.
    """

    model: str
    facts: dict[str, Any]

    @classmethod
    def of(cls, workload: Workload) -> Identity:
        """Return the identity of a workload's data set."""
        facts: dict[str, Any] = {f"dataset.{key}": getattr(workload.dataset, key) for key in _KEYS}
        for key in ("record_length_bytes", "record_length_bytes_stdev"):
            facts[f"dataset.{key}"] = float(facts[f"dataset.{key}"])
        facts |= _later_facts(workload.dataset)
        facts["content.version"] = CONTENT_VERSION
        facts["content.seed"] = CONTENT_SEED
        facts["encoder.version"] = ENCODER_VERSIONS[workload.dataset.format]
        return cls(workload.model.name, facts)

    @property
    def digest(self) -> str:
        """The SHA-256 of the facts."""
        return digest(self.facts)

    @property
    def folder(self) -> str:
        """The name of the data set's folder or prefix, such as ``unet3d-3f2a9c01d4e5``."""
        return f"{self.model}-{self.digest[:12]}"

    def differences(self, other: Identity) -> list[str]:
        """Return how this identity differs from an older one, as ``key changed A -> B``."""
        names = sorted({*self.facts, *other.facts})
        return [
            f"{name} changed {_shown(other.facts.get(name))} -> {_shown(self.facts.get(name))}"
            for name in names
            if self.facts.get(name) != other.facts.get(name)
        ]


def _later_facts(dataset: DatasetSection) -> dict[str, Any]:
    values = ((key, getattr(dataset, key)) for key in _LATER_KEYS)
    return {
        f"dataset.{key}": plain(value) for key, value in values if value != getattr(_DEFAULTS, key)
    }


def _shown(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
