"""What a checkpoint of an emulated training consists of: what the workload says of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cm4storage.checkpoint.models.layout import SUFFIX, Layout
from cm4storage.checkpoint.payload import GeneratedPayload, OnesPayload
from cm4storage.checkpoint.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.checkpoint.payload import Payload
    from cm4storage.workload.model import Workload
    from cm4storage.workload.model_sections import ModelSection


def payload_of(workload: Workload, step: int, rank: int) -> Payload:
    """Return the tensors of a rank after a step: model, layers and optimizer.

    Of a transformer they are what this rank of the model's own layout holds; see `Layout`.
    Source of what they are: ``checkpointing/base_checkpointing.py`` of dlio_benchmark.
    """
    tensors = list(_transformer(workload, rank) if _is_transformer(workload) else _others(workload))
    if not workload.checkpoint.randomize_tensor:
        return OnesPayload(tensors)
    return GeneratedPayload(tensors, seed=workload.train.seed, rank=rank, step=step)


def _is_transformer(workload: Workload) -> bool:
    return workload.model.type == "transformer"


def _transformer(workload: Workload, rank: int) -> Iterator[Tensor]:
    for file in Layout(workload).files(rank):
        stem = file.name.removesuffix(SUFFIX)
        yield from (replace(tensor, name=f"{stem}/{tensor.name}") for tensor in file.tensors)


def _others(workload: Workload) -> Iterator[Tensor]:
    yield from _model(workload.model)
    yield from _layers(workload.model)
    yield from _optimizer(workload.model)


def _model(model: ModelSection) -> Iterator[Tensor]:
    if model.model_size_bytes:
        yield Tensor("model.a", "I8", (model.model_size_bytes,))


def _layers(model: ModelSection) -> Iterator[Tensor]:
    for layer in range(1, model.num_layers + 1):
        for number, size in enumerate(model.layer_parameters):
            if size:
                yield Tensor(f"layer.{layer}.{number}", "I8", (size // model.parallelism_tensor,))


def _optimizer(model: ModelSection) -> Iterator[Tensor]:
    sizes = {number: size for number, size in enumerate(model.optimization_groups) if size}
    for number, size in sizes.items():
        yield Tensor(f"optimizer.{number}.a", "I8", (size,))
        yield Tensor(f"optimizer.{number}.b", "I8", (size,))
    if sizes:
        yield Tensor("optimizer.combined", "I8", (sum(sizes.values()),))
