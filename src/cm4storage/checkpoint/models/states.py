"""The tensors of a model and of its optimizer, as DLIO's checkpoints have them.

Source: ``get_layer_parameters``, ``get_optimization_groups`` and ``get_layer_index`` in
``checkpointing/base_checkpointing.py`` of dlio_benchmark, sources of 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cm4storage.checkpoint.tensors import Tensor
from cm4storage.workload.transformer import layer_elements, parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cm4storage.checkpoint.models.parallelism import Parallelism
    from cm4storage.workload.model import Workload
    from cm4storage.workload.model_sections import ModelSection

DTYPES: Final = {
    "fp16": "F16", "bf16": "BF16", "fp32": "F32", "fp64": "F64", "int8": "I8", "uint8": "U8",
}  # fmt: skip

_OF_BYTES: Final = "I8"
_GROUPS: Final = 3
_SMALL_PER_HIDDEN: Final = 5


def layers_of_stage(model: ModelSection, stage: int) -> range:
    """Return the layers of a pipeline stage.

    Layers 1 to L are spread evenly, the first stages take the remainder. Layer 0, the embedding,
    is on the first stage, L + 1 (the head) and L + 2 (the last norm) are on the last. Where
    ``layer_parameters`` are given there are none but 1 to L.
    """
    last = model.parallelism_pipeline - 1
    each, left = divmod(max(0, model.num_layers), model.parallelism_pipeline)
    first = stage * each + min(stage, left) + 1
    end = first + each + (1 if stage < left else 0)
    if model.num_layers <= 0 or model.layer_parameters:
        return range(first, end)
    return range(0 if stage == 0 else first, end + (2 if stage == last else 0))


def layer_tensors(workload: Workload, layout: Parallelism, layer: int) -> list[Tensor]:
    """Return what a rank keeps of a layer, each tensor under its number.

    Each is divided by the tensor parallelism, norms excepted, and with ZeRO 3 by the number of
    copies, without the remainder. The tensors of ``layer_parameters`` are of bytes.
    """
    model = workload.model
    copies = layout.data if layout.zero_stage == 3 else 1
    if model.layer_parameters:
        sizes: Iterable[int] = (size // layout.tensor for size in model.layer_parameters)
        return _numbered(sizes, _OF_BYTES)
    hidden = model.transformer_hidden_size
    if layer in (0, model.num_layers + 1):
        elements = [hidden * model.transformer_vocab_size // layout.tensor]
    elif layer == model.num_layers + 2:
        elements = [hidden]
    else:
        norm, attention, dense, norm_2, up, down = layer_elements(model)
        shared = [part // layout.tensor for part in (attention, dense, up, down)]
        elements = [norm, *shared[:2], norm_2, *shared[2:]]
    return _numbered((part // copies for part in elements), DTYPES[model.model_datatype])


def optimizer_tensors(workload: Workload, layout: Parallelism) -> list[Tensor]:
    """Return what a rank keeps of the optimizer.

    Three times a share of all parameters and 5 h elements. With ZeRO all ranks share them, without
    it those of one copy. ``optimization_groups`` stand for two tensors of bytes each, and a third
    as large as all groups together.
    """
    model = workload.model
    if model.optimization_groups:
        groups = [(n, size) for n, size in enumerate(model.optimization_groups) if size > 0]
        pairs = [Tensor(f"{n}/{ab}", _OF_BYTES, (size,)) for n, size in groups for ab in "ab"]
        return [*pairs, Tensor("combined", _OF_BYTES, (sum(size for _, size in groups),))]
    holders = layout.model * (layout.data if layout.zero_stage > 0 else 1)
    share = parameters(model) // holders
    if share == 0:
        return []
    small = _SMALL_PER_HIDDEN * model.transformer_hidden_size
    return _numbered([share, small] * _GROUPS, DTYPES[model.optimizer_datatype])


def whole_model(workload: Workload) -> list[Tensor]:
    """Return the one tensor, of ``model_size_bytes``, of a model that is no transformer."""
    model = workload.model
    if model.type == "transformer" or model.model_size_bytes == 0:
        return []
    return [Tensor("a", _OF_BYTES, (model.model_size_bytes,))]


def _numbered(elements: Iterable[int], dtype: str) -> list[Tensor]:
    """Return tensors of one dimension under their numbers; what is empty is left out."""
    return [Tensor(str(n), dtype, (count,)) for n, count in enumerate(elements) if count > 0]
