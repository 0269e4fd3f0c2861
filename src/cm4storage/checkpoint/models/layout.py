"""The files of a checkpoint: what each rank writes, under which name.

Source: ``save_checkpoint`` in ``checkpointing/base_checkpointing.py`` of dlio_benchmark, sources
of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from cm4storage.checkpoint.models.parallelism import Parallelism
from cm4storage.checkpoint.models.states import (
    layer_tensors,
    layers_of_stage,
    optimizer_tensors,
    whole_model,
)
from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.checkpoint.models.parallelism import Place
    from cm4storage.checkpoint.tensors import Tensor
    from cm4storage.workload.model import Workload

Kind = Literal["model", "optimizer"]

EPOCH: Final = 1
"""The epoch in the name of a checkpoint of a workload that does not train."""

SUFFIX: Final = ".pt"


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a rank's.

    Attributes
    ----------
    name : str
        Below the checkpoint's folder.
    kind : {'model', 'optimizer'}
    tensors : tuple of Tensor
        Each named by its path in DLIO's nested dictionaries: ``layer/number`` where a file holds
        several layers, else the number.
    """

    name: str
    kind: Kind
    tensors: tuple[Tensor, ...]

    @property
    def size_bytes(self) -> int:
        """The bytes of all tensors, without what the container adds."""
        return sum(tensor.size_bytes for tensor in self.tensors)


@dataclass(frozen=True)
class RankSize:
    """What one rank writes: bytes of tensors by kind, and files."""

    model_bytes: int
    optimizer_bytes: int
    files: int

    @property
    def total_bytes(self) -> int:
        """Model and optimizer together."""
        return self.model_bytes + self.optimizer_bytes


class Layout:
    """The files of all ranks of a workload's checkpoints.

    Parameters
    ----------
    workload : Workload
    ranks : int, optional
        How many ranks run; default as `Parallelism.of`.

    Raises
    ------
    UserError
        If the model cannot be spread so, or has nothing to write.
    """

    def __init__(self, workload: Workload, ranks: int | None = None) -> None:
        self._workload = workload
        self.parallelism = Parallelism.of(workload, ranks)
        if self.total.files == 0:
            raise UserError(
                "the model has no layers and no size: its checkpoint would be empty",
                where="model.num_layers, model.model_size_bytes",
                advice="set one of them",
            )

    @property
    def ranks(self) -> int:
        """The number of ranks that run."""
        return self.parallelism.ranks

    def files(self, rank: int) -> Iterator[CheckpointFile]:
        """Yield the files of a rank in the order in which they are written."""
        place = self.parallelism.place(rank)
        if self._writes_nothing(place):
            return
        if whole := whole_model(self._workload):
            yield CheckpointFile(f"model_states-{rank}{SUFFIX}", "model", tuple(whole))
        yield from self._model_files(place)
        if optimizer := optimizer_tensors(self._workload, self.parallelism):
            yield CheckpointFile(f"{_shard(place)}_optim_states{SUFFIX}", "optimizer",
                                 tuple(optimizer))  # fmt: skip

    def size_of(self, rank: int) -> RankSize:
        """Return how much a rank writes."""
        return self._sizes[rank]

    @cached_property
    def total(self) -> RankSize:
        """What all ranks write together."""
        sizes = self._sizes
        return RankSize(
            sum(size.model_bytes for size in sizes),
            sum(size.optimizer_bytes for size in sizes),
            sum(size.files for size in sizes),
        )

    @cached_property
    def _sizes(self) -> list[RankSize]:
        """The sizes of all ranks; those at alike places are counted once."""
        known: dict[tuple[int, bool], RankSize] = {}
        sizes = []
        for rank in range(self.parallelism.ranks):
            place = self.parallelism.place(rank)
            alike = (place.stage, place.data == 0)
            if alike not in known:
                known[alike] = _size(list(self.files(rank)))
            sizes.append(known[alike])
        return sizes

    def _writes_nothing(self, place: Place) -> bool:
        """Without ZeRO all copies are alike, and only the first is written."""
        return self.parallelism.zero_stage == 0 and place.data > 0

    def _model_files(self, place: Place) -> Iterator[CheckpointFile]:
        layers = layers_of_stage(self._workload.model, place.stage)
        is_whole = self.parallelism.zero_stage in (1, 2)
        if not layers or (is_whole and place.data > 0):
            return
        if is_whole and self.parallelism.pipeline > 1:
            for layer in layers:
                name = f"layer_{layer}-model_{place.model}_model_states{SUFFIX}"
                yield CheckpointFile(name, "model", tuple(self._tensors(layer)))
            return
        stem = f"model_{place.model}" if is_whole else _shard(place)
        tensors = [
            replace(tensor, name=f"{layer}/{tensor.name}")
            for layer in layers
            for tensor in self._tensors(layer)
        ]
        yield CheckpointFile(f"{stem}_model_states{SUFFIX}", "model", tuple(tensors))

    def _tensors(self, layer: int) -> list[Tensor]:
        return layer_tensors(self._workload, self.parallelism, layer)


def folder_of(step: int) -> str:
    """Return the folder of a checkpoint below the checkpoint folder."""
    return f"global_epoch{EPOCH}_step{step}"


def _shard(place: Place) -> str:
    return f"zero_pp_rank_{place.data}_mp_rank_{place.model}"


def _size(files: list[CheckpointFile]) -> RankSize:
    by_kind = {"model": 0, "optimizer": 0}
    for file in files:
        by_kind[file.kind] += file.size_bytes
    return RankSize(by_kind["model"], by_kind["optimizer"], len(files))
