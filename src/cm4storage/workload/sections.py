"""Every key of a DLIO workload that this project knows: type, default, range and older names.

The dataclasses are the schema: the loader, the validator and the documentation read their fields.
Names are those of the 2026 DLIO sources; `aliases` are the names of older dialects.
Source of keys and defaults: ``ConfigArguments`` and ``LoadConfig`` in dlio_benchmark's
``utils/config.py``, version 2.0.0 (PyPI) and the argonne sources of June 2026.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from cm4storage.core.records import dataclass
from cm4storage.workload.distributions import Distribution
from cm4storage.workload.model_sections import (
    CheckpointSection,
    ModelSection,
    ProfilingSection,
    StorageSection,
)
from cm4storage.workload.setting import (
    LARGEST_BYTES,
    MOST_AT_ONCE,
    MOST_FILES,
    MOST_SAMPLES_IN_A_FILE,
    UNUSED_BY_DLIO,
    Shuffle,
    setting,
)

ElementType = Literal[
    "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint16", "uint32",
    "uint64", "uint8",
]  # fmt: skip
ELEMENT_TYPES: tuple[str, ...] = get_args(ElementType)
"""What ``record_element_type`` and ``transformed_record_element_type`` may name."""

_ITEM_BYTES = {name: max(1, int(name.lstrip("bfloatuin") or 8) // 8) for name in ELEMENT_TYPES}

IMAGE_FORMATS = ("jpeg", "png")


def item_bytes(element_type: str) -> int:
    """Return the size of one element of a numpy type of `ELEMENT_TYPES`."""
    return _ITEM_BYTES[element_type]


Compression = Literal["none", "gzip", "lzf", "bz2", "zip", "xz", "snappy", "lz4", "zstd", "brotli"]
PARQUET_COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd", "brotli")
"""What ``dataset.compression`` may be for parquet; snappy and those after it for no other."""

DataLoader = Literal["tensorflow", "pytorch", "dali", "native_dali", "custom", "none", "synthetic"]
FileAccess = Literal["multi", "shared", "collective", "mpio", "posix"]

_COMPUTED = "names are computed here and never listed, whatever this key says"
_OWN_CONTENTS = "contents come from a generator of our own"


@dataclass(frozen=True)
class WorkflowSection:
    """``workflow``: which parts of a run are wanted."""

    generate_data: bool = False
    train: bool = True
    evaluation: bool = False
    checkpoint: bool = False
    profiling: bool = setting(False, done=False)
    query: str | None = setting(None, inert="only dlio_benchmark_query reads it")


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

    @property
    def row_bytes(self) -> int:
        """The bytes in each row: of texts and binaries `size` bytes, of a list as many floats."""
        return self.size * _ITEM_BYTES.get("float32" if self.dtype == "list" else self.dtype, 1)


@dataclass(frozen=True)
class DatasetSection:
    """``dataset``: number, size and format of the files."""

    format: str = "tfrecord"
    num_files_train: int = setting(8, minimum=1, maximum=MOST_FILES)
    num_files_eval: int = setting(0, minimum=0, maximum=MOST_FILES)
    num_samples_per_file: int = setting(1, minimum=1, maximum=MOST_SAMPLES_IN_A_FILE)
    record_length_bytes: float = setting(
        65536, aliases=("record_length",), minimum=1, maximum=LARGEST_BYTES
    )
    record_length_bytes_stdev: float = setting(
        0, aliases=("record_length_stdev",), minimum=0, maximum=LARGEST_BYTES
    )
    record_length_bytes_resize: float = setting(
        0, aliases=("record_length_resize",), minimum=0, maximum=LARGEST_BYTES
    )
    num_subfolders_train: int = setting(0, minimum=0)
    num_subfolders_eval: int = setting(0, minimum=0)
    data_folder: str = "./data/"
    file_prefix: str = "img"
    record_dims: tuple[int, ...] = setting((), minimum=1, maximum=LARGEST_BYTES)
    record_element_type: ElementType = "uint8"
    compression: Compression = "none"
    compression_level: int = setting(4, minimum=0, maximum=9)
    keep_files: bool = setting(True, done=False)
    generation_buffer_size: int = setting(2**31, minimum=1)
    record_element_bytes: int = setting(
        4, minimum=1, maximum=8, inert="record_element_type decides it, in DLIO as here"
    )
    enable_chunking: bool = setting(False, inert=UNUSED_BY_DLIO)
    chunk_size: int = setting(0, minimum=0, inert=UNUSED_BY_DLIO)
    skip_listing: bool = setting(False, inert=_COMPUTED)
    listing_validation_interval: int = setting(1000, minimum=0, inert=_COMPUTED)
    listing_threads: int = setting(4, minimum=1, maximum=1024, inert=_COMPUTED)
    data_gen_method: Literal["auto", "dgen", "numpy"] = setting("auto", inert=_OWN_CONTENTS)
    hdf5_chunk_dims: tuple[int, ...] = setting((), minimum=1, path="hdf5.chunk_dims")
    hdf5_num_dset_per_record: int = setting(1, minimum=1, path="hdf5.num_dset_per_record")
    hdf5_max_shape: tuple[int, ...] = setting((), path="hdf5.max_shape")
    parquet_columns: tuple[ParquetColumn, ...] = setting((), path="parquet.columns")
    parquet_row_group_size: int = setting(1024, minimum=1, path="parquet.row_group_size")
    parquet_partition_by: str | None = setting(None, path="parquet.partition_by")
    parquet_generation_batch_size: int = setting(0, minimum=0, path="parquet.generation_batch_size")
    parquet_use_s3dlio_gen: bool = setting(
        False, path="parquet.use_s3dlio_gen", inert=_OWN_CONTENTS
    )
    parquet_read_mode: Literal["default", "row_group"] | None = setting(
        None, path="parquet.read_mode", inert="row groups are read one by one here always"
    )

    @property
    def element_type(self) -> str:
        """The numpy type of a sample's elements; images are of uint8 whatever the YAML says."""
        is_bytes = self.format in IMAGE_FORMATS or self._has_columns
        return "uint8" if is_bytes else self.record_element_type

    @property
    def sample_dims(self) -> tuple[int, ...]:
        """The fixed dimensions of a sample; empty where ``record_length_bytes`` decides.

        A sample of Parquet columns is the bytes of those that are read.
        """
        if self._has_columns:
            return (sum(column.row_bytes for column in self.parquet_columns if column.read),)
        return self.record_dims

    @property
    def _has_columns(self) -> bool:
        return self.format == "parquet" and bool(self.parquet_columns)

    @property
    def item_bytes(self) -> int:
        """The size of one element of a sample."""
        return item_bytes(self.element_type)

    @property
    def sample_bytes(self) -> float:
        """The nominal size of one sample: `sample_dims` go before ``record_length_bytes``."""
        if self.sample_dims:
            return math.prod(self.sample_dims) * self.item_bytes
        return self.record_length_bytes


@dataclass(frozen=True)
class ReaderSection:
    """``reader``: how the loader reads, orders and batches."""

    data_loader: DataLoader = "tensorflow"
    batch_size: int = setting(1, minimum=1, maximum=MOST_AT_ONCE)
    batch_size_eval: int = setting(1, minimum=1, maximum=MOST_AT_ONCE)
    read_threads: int = setting(1, minimum=0, maximum=1024)
    computation_threads: int = setting(1, minimum=0, maximum=1024)
    prefetch_size: int = setting(2, minimum=0, maximum=MOST_AT_ONCE)
    file_shuffle: Shuffle = "off"
    sample_shuffle: Shuffle = "off"
    shuffle_size: int = setting(1024, minimum=0)
    transfer_size: int | None = setting(None, minimum=1, maximum=LARGEST_BYTES)
    read_type: Literal["on_demand", "memory"] = "on_demand"
    preprocess_time: Distribution = Distribution()
    odirect: bool = False
    file_access: FileAccess = setting("multi", inert=UNUSED_BY_DLIO)
    multiprocessing_context: Literal["fork", "spawn", "forkserver"] = setting("fork", done=False)
    pin_memory: bool = setting(True, done=False)
    dont_use_mmap: bool = setting(False, inert=UNUSED_BY_DLIO)
    write_threads: int = setting(1, minimum=0, maximum=1024, done=False)
    preprocess_time_stdev: float = setting(0.0, minimum=0)
    transformed_record_dims: tuple[int, ...] = setting((), minimum=1, maximum=LARGEST_BYTES)
    transformed_record_element_type: ElementType = "uint8"
    reader_classname: str | None = None
    data_loader_classname: str | None = None
    data_loader_sampler: Literal["iterative", "index"] | None = None
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
    epochs_between_evals: int = setting(1, minimum=0)


@dataclass(frozen=True)
class OutputSection:
    """``output``: where ``cm4storage dlio`` puts results, and which steps metrics leave out."""

    folder: str | None = None
    log_file: str = "dlio.log"
    exclude_start_steps: int = setting(
        1, aliases=("exclude_start_steps",), minimum=0, path="metric.exclude_start_steps"
    )
    exclude_end_steps: int = setting(
        0, aliases=("exclude_end_steps",), minimum=0, path="metric.exclude_end_steps"
    )


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
    "profiling": ProfilingSection,
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
        "logging.verbosity",
    }
)
"""Keys that stock YAMLs carry and that DLIO itself reads nowhere, or only for its log."""

REFUSED_KEYS = frozenset(
    {
        "checkpoint.checkpoint_mechanism_classname",
    }
)
"""Keys of DLIO that decide what is written, and that this version cannot follow: an error."""

SECRET_KEYS = frozenset(
    {
        "storage.storage_options.access_key_id",
        "storage.storage_options.secret_access_key",
        "storage.storage_options.session_token",
    }
)
"""Keys whose values are never kept: credentials come from the AWS_* variables."""

OPEN_SECTIONS = ("storage.storage_options.",)
"""DLIO hands whatever stands here to a client library."""
