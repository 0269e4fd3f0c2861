"""The quick scale of workloads that only write and read checkpoints: the same shape, smaller."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.units import MIB
from cm4storage.workload.transformer import parameters

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload
    from cm4storage.workload.model_sections import ModelSection

QUICK_ALL_RANKS_BYTES: Final = 64 * MIB
QUICK_CHECKPOINTS: Final = 2

_MOST_LAYERS: Final = 8
_MOST_HEADS: Final = 8
_MOST_PARALLEL: Final = 2
# Widths stay divisible by heads, by tensor parallelism and by the ranks of the quick scale.
_WIDTH_UNIT: Final = 64
_BYTES_PER_PARAMETER: Final = 2 + 3 * 4
"""Of a model in fp16 and three states of the optimizer in fp32."""


def quick_checkpoint_settings(workload: Workload) -> dict[str, Any]:
    """Return the settings that make `workload` quick, by canonical path.

    ZeRO stage, element types and the order of things stay. Layers are 8 at most, tensor and
    pipeline parallelism 2; vocabulary and widths shrink until a checkpoint is about
    `QUICK_ALL_RANKS_BYTES`. Two checkpoints are written and read, one after the other at once. A
    model that is smaller already keeps its widths.
    """
    checkpoint = workload.checkpoint
    return {
        "checkpoint.num_checkpoints_write": min(
            checkpoint.num_checkpoints_write, QUICK_CHECKPOINTS
        ),
        "checkpoint.num_checkpoints_read": min(checkpoint.num_checkpoints_read, QUICK_CHECKPOINTS),
        "checkpoint.time_between_checkpoints": 0,
        "checkpoint.mode": "default",
        "model.parallelism.data": -1,
        **_smaller_model(workload.model),
    }


def _smaller_model(model: ModelSection) -> dict[str, Any]:
    smaller = {
        "model.num_layers": min(model.num_layers, _MOST_LAYERS),
        "model.parallelism.tensor": min(model.parallelism_tensor, _MOST_PARALLEL),
        "model.parallelism.pipeline": min(model.parallelism_pipeline, _MOST_PARALLEL),
        "model.model_size_bytes": min(model.model_size_bytes, QUICK_ALL_RANKS_BYTES),
    }
    if model.layer_parameters or model.optimization_groups:
        return smaller | _smaller_lists(model)
    few = replace(model, num_layers=min(model.num_layers, _MOST_LAYERS))
    whole_bytes = parameters(few) * _BYTES_PER_PARAMETER
    if whole_bytes <= QUICK_ALL_RANKS_BYTES:
        return smaller
    return smaller | _smaller_widths(model, math.sqrt(QUICK_ALL_RANKS_BYTES / whole_bytes))


def _smaller_widths(model: ModelSection, shrink: float) -> dict[str, Any]:
    heads = min(model.transformer_num_attention_heads, _MOST_HEADS)
    kv_heads = model.transformer_num_kv_heads * heads // model.transformer_num_attention_heads
    return {
        "model.transformer.vocab_size": _width(model.transformer_vocab_size, shrink),
        "model.transformer.hidden_size": _width(model.transformer_hidden_size, shrink),
        "model.transformer.ffn_hidden_size": _width(model.transformer_ffn_hidden_size, shrink),
        "model.transformer.num_attention_heads": heads,
        "model.transformer.num_kv_heads": max(1, kv_heads),
    }


def _smaller_lists(model: ModelSection) -> dict[str, Any]:
    """Shrink sizes that are given one by one; a group is written three times, a layer often."""
    in_all_bytes = 3 * sum(model.optimization_groups)
    in_all_bytes += _MOST_LAYERS * sum(model.layer_parameters)
    shrink = min(1.0, QUICK_ALL_RANKS_BYTES / max(1, in_all_bytes))
    return {
        "model.layer_parameters": tuple(int(size * shrink) for size in model.layer_parameters),
        "model.optimization_groups": tuple(
            int(size * shrink) for size in model.optimization_groups
        ),
    }


def _width(length: int, shrink: float) -> int:
    return max(1, round(length * shrink / _WIDTH_UNIT)) * _WIDTH_UNIT
