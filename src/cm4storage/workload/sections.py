"""Every key of a DLIO workload that this project knows: type, default, range and older names.

The dataclasses are the schema: the loader, the validator and the documentation read their fields.
Names are those of the 2026 DLIO sources; `aliases` are the names of older dialects.
Source of keys and defaults: ``ConfigArguments`` and ``LoadConfig`` in dlio_benchmark's
``utils/config.py``, version 2.0.0 (PyPI) and the argonne sources of June 2026.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from cm4storage.workload.distributions import Distribution

Shuffle = Literal["off", "seed", "random"]

_MOST_FILES = 10**9
_MOST_SAMPLES = 10**12
_MOST_AT_ONCE = 10**6
_LARGEST_BYTES = 2.0**46


_ITEM_BYTES = {"bool": 1, "float16": 2, "float32": 4, "float64": 8} | {
    f"{kind}{8 * size}": size for kind in ("int", "uint") for size in (1, 2, 4, 8)
}
ELEMENT_TYPES = tuple(sorted(_ITEM_BYTES))
"""What ``record_element_type`` and ``transformed_record_element_type`` may name."""

IMAGE_FORMATS = ("jpeg", "png")


def item_bytes(element_type: str) -> int:
    """Return the size of one element of a numpy type of `ELEMENT_TYPES`."""
    return _ITEM_BYTES[element_type]


def setting(
    default: Any,
    *,
    aliases: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    done: bool = True,
    path: str = "",
) -> Any:
    """Declare one key of a section.

    Parameters
    ----------
    default : Any
        What DLIO's code uses when the key is absent.
    aliases : tuple of str
        Names of the same value in other dialects; a full path where it has a dot.
    minimum, maximum : float, optional
        The allowed range, both ends included.
    done : bool
        False where a value other than the default is accepted but has no effect yet.
    path : str
        The key's name below its section where it is not the field's, such as ``hdf5.chunk_dims``.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "aliases": aliases,
            "minimum": minimum,
            "maximum": maximum,
            "done": done,
            "path": path,
        },
    )


@dataclass(frozen=True)
class ModelSection:
    """``model``: what is trained. Only the name matters until checkpoints are written."""

    name: str = "default"
    type: str | None = setting(None, done=False)
    model_size_bytes: int = setting(10240, minimum=0, done=False)


@dataclass(frozen=True)
class WorkflowSection:
    """``workflow``: which parts of a run are wanted."""

    generate_data: bool = False
    train: bool = True
    evaluation: bool = False
    checkpoint: bool = setting(False, done=False)
    profiling: bool = setting(False, done=False)


@dataclass(frozen=True)
class StorageSection:
    """``storage``: where DLIO would look for the data; flags and variations go before it."""

    storage_type: Literal["local_fs", "s3", "direct_fs", "parallel_fs", "aistore"] = "local_fs"
    storage_root: str = "./"


@dataclass(frozen=True)
class ParquetColumn:
    """One column of ``dataset.parquet.columns``.

    Attributes
    ----------
    name : str
    dtype : str
        A numpy name, or ``string``, ``binary`` or ``list``.
    size : int
        Elements in each row; more than one make a list of fixed size.
    read : bool
        Whether the loader reads it.
    """

    name: str
    dtype: str = "float32"
    size: int = 1
    read: bool = True


@dataclass(frozen=True)
class DatasetSection:
    """``dataset``: number, size and format of the files."""

    format: str = "tfrecord"
    num_files_train: int = setting(8, minimum=1, maximum=_MOST_FILES)
    num_files_eval: int = setting(0, minimum=0, maximum=_MOST_FILES)
    num_samples_per_file: int = setting(1, minimum=1, maximum=_MOST_SAMPLES)
    record_length_bytes: float = setting(
        65536, aliases=("record_length",), minimum=1, maximum=_LARGEST_BYTES
    )
    record_length_bytes_stdev: float = setting(
        0, aliases=("record_length_stdev",), minimum=0, maximum=_LARGEST_BYTES
    )
    record_length_bytes_resize: float = setting(
        0, aliases=("record_length_resize",), minimum=0, maximum=_LARGEST_BYTES
    )
    num_subfolders_train: int = setting(0, minimum=0)
    num_subfolders_eval: int = setting(0, minimum=0)
    data_folder: str = "./data/"
    file_prefix: str = "img"
    record_dims: tuple[int, ...] = ()
    record_element_type: str = "uint8"
    compression: Literal["none", "gzip", "lzf", "bz2", "zip", "xz"] = "none"
    compression_level: int = setting(4, minimum=0, maximum=9)
    keep_files: bool = setting(True, done=False)
    generation_buffer_size: int = setting(2**31, minimum=1)
    hdf5_chunk_dims: tuple[int, ...] = setting((), path="hdf5.chunk_dims")
    hdf5_num_dset_per_record: int = setting(1, minimum=1, path="hdf5.num_dset_per_record")
    hdf5_max_shape: tuple[int, ...] = setting((), path="hdf5.max_shape")
    parquet_columns: tuple[ParquetColumn, ...] = setting((), path="parquet.columns")
    parquet_row_group_size: int = setting(1024, minimum=1, path="parquet.row_group_size")
    parquet_partition_by: str | None = setting(None, path="parquet.partition_by")
    parquet_generation_batch_size: int = setting(0, minimum=0, path="parquet.generation_batch_size")

    @property
    def element_type(self) -> str:
        """The numpy type of a sample's elements; images are of uint8 whatever the YAML says."""
        return "uint8" if self.format in IMAGE_FORMATS else self.record_element_type

    @property
    def item_bytes(self) -> int:
        """The size of one element of a sample."""
        return item_bytes(self.element_type)

    @property
    def sample_bytes(self) -> float:
        """The nominal size of one sample: ``record_dims`` go before ``record_length_bytes``."""
        if self.record_dims:
            return math.prod(self.record_dims) * self.item_bytes
        return self.record_length_bytes


@dataclass(frozen=True)
class ReaderSection:
    """``reader``: how the loader reads, orders and batches."""

    data_loader: str = "tensorflow"
    batch_size: int = setting(1, minimum=1, maximum=_MOST_AT_ONCE)
    batch_size_eval: int = setting(1, minimum=1, maximum=_MOST_AT_ONCE)
    read_threads: int = setting(1, minimum=0, maximum=1024)
    computation_threads: int = setting(1, minimum=0)
    prefetch_size: int = setting(2, minimum=0, maximum=_MOST_AT_ONCE)
    file_shuffle: Shuffle = "off"
    sample_shuffle: Shuffle = "off"
    shuffle_size: int = setting(1024, minimum=0, done=False)
    transfer_size: int | None = setting(None, minimum=1)
    read_type: Literal["on_demand", "memory"] = "on_demand"
    preprocess_time: Distribution = Distribution()
    odirect: bool = False
    multiprocessing_context: str = setting("fork", done=False)
    pin_memory: bool = setting(True, done=False)
    preprocess_time_stdev: float = setting(0.0, minimum=0)
    transformed_record_dims: tuple[int, ...] = ()
    transformed_record_element_type: str = "uint8"
    reader_classname: str | None = None
    data_loader_classname: str | None = None
    data_loader_sampler: str | None = None
    sampler_classname: str | None = None
    order: Literal["workload", "dlio"] = "workload"


@dataclass(frozen=True)
class TrainSection:
    """``train``: epochs, steps and the emulated computation."""

    epochs: int = setting(1, minimum=1)
    total_training_steps: int = setting(-1, minimum=-1)
    computation_time: Distribution = Distribution()
    computation_time_stdev: float = setting(0.0, minimum=0)
    seed: int = setting(123, minimum=0)
    seed_change_epoch: bool = True
    compute_classname: str | None = None


@dataclass(frozen=True)
class EvaluationSection:
    """``evaluation``: how long a step takes, and after which epochs it runs."""

    eval_time: Distribution = Distribution()
    eval_time_stdev: float = setting(0.0, minimum=0)
    eval_after_epoch: int = setting(1, minimum=1)
    epochs_between_evals: int = setting(1, minimum=1)


@dataclass(frozen=True)
class CheckpointSection:
    """``checkpoint``: accepted, not run yet."""

    checkpoint_folder: str = setting("./checkpoints/", done=False)
    checkpoint_after_epoch: int = setting(1, minimum=1, done=False)
    epochs_between_checkpoints: int = setting(1, minimum=1, done=False)
    steps_between_checkpoints: int = setting(-1, minimum=-1, done=False)
    type: str = setting("rank_zero", done=False)


@dataclass(frozen=True)
class OutputSection:
    """``output``: which steps the metrics leave out."""

    exclude_start_steps: int = setting(1, aliases=("output.metric.exclude_start_steps",), minimum=0)
    exclude_end_steps: int = setting(0, aliases=("output.metric.exclude_end_steps",), minimum=0)


@dataclass(frozen=True)
class MetricSection:
    """``metric``: the accelerator utilization that a valid run reaches."""

    au: float = setting(0.90, minimum=0, maximum=100)


SECTIONS: dict[str, type[Any]] = {
    "model": ModelSection,
    "workflow": WorkflowSection,
    "storage": StorageSection,
    "dataset": DatasetSection,
    "reader": ReaderSection,
    "train": TrainSection,
    "evaluation": EvaluationSection,
    "checkpoint": CheckpointSection,
    "output": OutputSection,
    "metric": MetricSection,
}

SECTION_ALIASES = {"data_reader": "reader"}

IGNORED_BY_DLIO = frozenset(
    {
        "workflow.do_eval",
        "workflow.debug",
        "dataset.eval_num_samples_per_file",
        "train.total_eval_steps",
        "evaluation.steps_between_evals",
        "model.model_size",
    }
)
"""Keys that stock YAMLs carry and that DLIO itself reads nowhere."""

REFUSED_KEYS = frozenset(
    {
        "checkpoint.checkpoint_mechanism_classname",
    }
)
"""Keys of DLIO that decide what is read, and that this version cannot follow: an error, no note."""

KEYS_WITHOUT_EFFECT = frozenset(
    {
        "checkpoint.model_size",
        "checkpoint.optimization_groups",
        "checkpoint.num_layers",
        "checkpoint.layer_parameters",
        "checkpoint.fsync",
        "checkpoint.time_between_checkpoints",
        "checkpoint.num_checkpoints_write",
        "checkpoint.num_checkpoints_read",
        "model.optimization_groups",
        "model.num_layers",
        "model.layer_parameters",
        "model.parallelism",
        "model.transformer",
        "storage.storage_options",
        "profiling.profiler",
        "profiling.iostat_devices",
        "output.folder",
        "output.log_file",
        "dataset.enable_chunking",
        "dataset.chunk_size",
        "dataset.record_element_bytes",
        "reader.file_access",
        "reader.dont_use_mmap",
    }
)
"""Keys of DLIO that are known, accepted and without effect in this version."""
