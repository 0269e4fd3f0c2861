"""The sections about the model, its checkpoints, the storage and profiling.

Source of keys and defaults: see `cm4storage.workload.sections`.
"""

from __future__ import annotations

from typing import Literal

from cm4storage.core.records import dataclass
from cm4storage.workload.setting import LARGEST_BYTES, UNUSED_BY_DLIO, setting

ModelDatatype = Literal["fp16", "fp32", "fp64", "bf16", "int8", "uint8"]

_OF_ANOTHER_LIBRARY = "DLIO hands it to a client library that is not used here"
_NO_TENSORS_IN_MEMORY = "contents are made while they are written: no tensors wait in memory"


@dataclass(frozen=True)
class ModelSection:
    """``model``: what is trained. All but the name matters to checkpoints only.

    The release of 2024 has the name in place of the section, and the sizes under ``checkpoint``.
    """

    name: str = "default"
    type: str | None = None
    model_size_bytes: int = setting(
        10240, aliases=("checkpoint.model_size",), minimum=0, maximum=LARGEST_BYTES
    )
    model_datatype: ModelDatatype = "fp16"
    optimizer_datatype: ModelDatatype = "fp32"
    optimization_groups: tuple[int, ...] = setting(
        (), aliases=("checkpoint.optimization_groups",), minimum=0
    )
    num_layers: int = setting(-1, aliases=("checkpoint.num_layers",), minimum=-1, maximum=10**6)
    layer_parameters: tuple[int, ...] = setting(
        (), aliases=("checkpoint.layer_parameters",), minimum=0
    )
    parallelism_tensor: int = setting(
        1, aliases=("checkpoint.tensor_parallelism",), minimum=1, path="parallelism.tensor",
    )  # fmt: skip
    parallelism_pipeline: int = setting(
        1, aliases=("checkpoint.pipeline_parallelism",), minimum=1, path="parallelism.pipeline",
    )  # fmt: skip
    parallelism_data: int = setting(-1, minimum=-1, path="parallelism.data")
    parallelism_zero_stage: int = setting(0, minimum=0, maximum=3, path="parallelism.zero_stage")
    transformer_vocab_size: int = setting(32000, minimum=1, path="transformer.vocab_size")
    transformer_hidden_size: int = setting(2048, minimum=1, path="transformer.hidden_size")
    transformer_ffn_hidden_size: int = setting(8192, minimum=1, path="transformer.ffn_hidden_size")
    transformer_num_attention_heads: int = setting(
        32, minimum=1, path="transformer.num_attention_heads"
    )
    transformer_num_kv_heads: int = setting(8, minimum=1, path="transformer.num_kv_heads")


@dataclass(frozen=True)
class StorageSection:
    """``storage``: where DLIO would look for the data; flags and variations go before it."""

    storage_type: Literal["local_fs", "s3", "direct_fs", "parallel_fs", "aistore"] = "local_fs"
    storage_root: str = "./"
    endpoint_url: str | None = setting(None, path="storage_options.endpoint_url")
    region: str = setting("us-east-1", path="storage_options.region", done=False)
    s3_force_path_style: bool = setting(
        True, path="storage_options.s3_force_path_style", done=False
    )
    s3_max_attempts: int = setting(
        5, minimum=1, maximum=1000, path="storage_options.s3_max_attempts", done=False
    )
    storage_library: str | None = setting(
        None, aliases=("storage_options.storage_library",), inert=_OF_ANOTHER_LIBRARY
    )
    prefetch_window: int | None = setting(
        None, minimum=0, path="storage_options.prefetch_window", inert=_OF_ANOTHER_LIBRARY
    )
    prefetch_workers: int | None = setting(
        None, minimum=0, path="storage_options.prefetch_workers", inert=_OF_ANOTHER_LIBRARY
    )
    uri_scheme: str | None = setting(
        None, path="storage_options.uri_scheme", inert=_OF_ANOTHER_LIBRARY
    )
    post_generation_settle_seconds: float = setting(0.0, minimum=0, maximum=86400, done=False)


@dataclass(frozen=True)
class CheckpointSection:
    """``checkpoint``: when checkpoints are written, where, and of what."""

    checkpoint_folder: str = "./checkpoints/"
    checkpoint_after_epoch: int = setting(1, minimum=1)
    epochs_between_checkpoints: int = setting(1, minimum=1)
    steps_between_checkpoints: int = setting(-1, minimum=-1)
    type: Literal["rank_zero", "all_ranks"] = setting("rank_zero", inert=UNUSED_BY_DLIO)
    mode: Literal["default", "subset"] = "default"
    fsync: bool = False
    recovery_rank_shift: bool = False
    rank_sync: bool = False
    time_between_checkpoints: float = setting(-1, minimum=-1, maximum=10**6)
    num_checkpoints_write: int = setting(-1, minimum=-1, maximum=10**6)
    num_checkpoints_read: int = setting(-1, minimum=-1, maximum=10**6)
    randomize_tensor: bool = True
    ksm_madv_mergeable_id: int = setting(
        12, minimum=0, path="ksm.madv_mergeable_id", inert=_NO_TENSORS_IN_MEMORY
    )
    ksm_high_ram_trigger: float = setting(
        30.0, minimum=0, maximum=100, path="ksm.high_ram_trigger", inert=_NO_TENSORS_IN_MEMORY
    )
    ksm_low_ram_exit: float = setting(
        15.0, minimum=0, maximum=100, path="ksm.low_ram_exit", inert=_NO_TENSORS_IN_MEMORY
    )
    ksm_await_time: int = setting(
        200, minimum=0, path="ksm.await_time", inert=_NO_TENSORS_IN_MEMORY
    )


@dataclass(frozen=True)
class ProfilingSection:
    """``profiling``: accepted; what the stages of a run take is recorded always."""

    profiler: Literal["none", "iostat", "darshan", "tensorboard"] = setting("iostat", done=False)
    iostat_devices: tuple[str, ...] = setting((), done=False)
