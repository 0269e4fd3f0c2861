"""How a model is spread over ranks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import UserError
from cm4storage.core.units import format_count

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload

SUBSET_RANKS: Final = 8
"""Ranks of a subset of the model's ranks (rules of MLPerf Storage v2.0, Checkpointing)."""

QUICK_RANKS: Final = 4
"""Ranks of the quick scale, whose tensor and pipeline parallelism are 2 at most."""

_CLOSED: Final = {"8b": 8, "70b": 64, "405b": 512, "1t": 1024}
_MODEL = re.compile(r"llama3?[-_](8b|70b|405b|1t)([-_].*)?")


@dataclass(frozen=True)
class Parallelism:
    """A grid of ranks: tensor parallelism inside, then pipeline stages, then data parallelism.

    Attributes
    ----------
    tensor, pipeline, data : int
        How many ranks share a layer, how many stages the layers are spread over, how many copies
        of the model there are.
    zero_stage : int
        0 to 3: what of the optimizer (1, 2) and the model (3) is divided among the copies.
    ranks : int
        How many ranks run. In subset mode fewer than there are in the grid.
    """

    tensor: int
    pipeline: int
    data: int
    zero_stage: int
    ranks: int

    @property
    def model(self) -> int:
        """How many ranks hold one copy of the model."""
        return self.tensor * self.pipeline

    @property
    def is_subset(self) -> bool:
        """Whether only some ranks of the grid run."""
        return self.ranks < self.model * self.data

    def place(self, rank: int) -> Place:
        """Return where a rank is in the grid.

        Source: ``base_checkpointing.py`` of dlio_benchmark: tp = rank % TP,
        pp = (rank // TP) % PP, mp = rank % (TP * PP), dp = rank // (TP * PP).
        """
        return Place(
            stage=rank // self.tensor % self.pipeline,
            model=rank % self.model,
            data=rank // self.model,
        )

    @classmethod
    def of(cls, workload: Workload, ranks: int | None = None) -> Parallelism:
        """Return the grid of a workload.

        Parameters
        ----------
        workload : Workload
        ranks : int, optional
            How many ranks run; default `default_ranks`.

        Raises
        ------
        UserError
            If the model cannot be spread so, or not over so many ranks.
        """
        model = workload.model
        tensor, pipeline = model.parallelism_tensor, model.parallelism_pipeline
        _check_stages(workload)
        size = default_ranks(workload) if ranks is None else ranks
        zero = model.parallelism_zero_stage
        if workload.checkpoint.mode == "subset":
            data = _subset_copies(workload)
            most = tensor * pipeline * data
            if size > most:
                raise _refused(size, f"1 to {most}, the ranks that the model is spread over")
            return cls(tensor, pipeline, data, zero, size)
        if model.parallelism_data > 0:
            raise UserError(
                f"model.parallelism.data: {model.parallelism_data} is for a subset of the ranks",
                where="checkpoint.mode=default",
                meaning="without a subset the number of ranks decides it",
                advice="leave it out, or set checkpoint.mode=subset",
            )
        if size % (tensor * pipeline):
            step = tensor * pipeline
            raise _refused(size, f"multiples of {step}: {step}, {2 * step}, {3 * step}, ...")
        return cls(tensor, pipeline, size // (tensor * pipeline), zero, size)


@dataclass(frozen=True)
class Place:
    """A rank's place in the grid: its pipeline stage, its number in its copy, and the copy's."""

    stage: int
    model: int
    data: int


def default_ranks(workload: Workload) -> int:
    """Return how many ranks run unless the user says otherwise.

    In subset mode `SUBSET_RANKS`, at quick scale `QUICK_RANKS`, for the models of MLPerf Storage
    the number of its CLOSED division (rules of v2.0), and else as many as hold the model once.
    """
    if workload.checkpoint.mode == "subset":
        return SUBSET_RANKS
    once = workload.model.parallelism_tensor * workload.model.parallelism_pipeline
    wanted = QUICK_RANKS if workload.scale == "quick" else closed_ranks(workload)
    return wanted if wanted is not None and wanted % once == 0 else once


def closed_ranks(workload: Workload) -> int | None:
    """Return the number of ranks that MLPerf Storage's CLOSED division prescribes, if any."""
    found = _MODEL.fullmatch(workload.model.name)
    return _CLOSED[found.group(1)] if found else None


def _check_stages(workload: Workload) -> None:
    model = workload.model
    if model.parallelism_zero_stage == 3 and model.parallelism_pipeline > 1:
        raise UserError(
            "model.parallelism.zero_stage: 3 and pipeline parallelism exclude each other",
            where=f"model.parallelism.pipeline={model.parallelism_pipeline}",
            advice="set model.parallelism.pipeline=1, or a lower ZeRO stage",
        )
    if 0 < model.num_layers < model.parallelism_pipeline:
        raise UserError(
            f"model.num_layers: {model.num_layers} layers cannot fill "
            f"{model.parallelism_pipeline} pipeline stages",
            where=f"model.parallelism.pipeline={model.parallelism_pipeline}",
            advice="lower the pipeline parallelism",
        )


def _subset_copies(workload: Workload) -> int:
    model = workload.model
    if model.parallelism_data > 0:
        return model.parallelism_data
    closed = closed_ranks(workload)
    once = model.parallelism_tensor * model.parallelism_pipeline
    copies = closed // once if closed else 0
    raise UserError(
        "checkpoint.mode: subset wants to know how many copies of the model there are",
        where="model.parallelism.data",
        advice=f"set model.parallelism.data={copies or 'N'}"
        + (f", as the {closed} ranks of MLPerf Storage have it" if copies else ""),
    )


def _refused(ranks: int, allowed: str) -> UserError:
    return UserError(
        f"the model cannot be spread over {format_count(ranks, 'rank')}",
        where="--ranks",
        meaning="each copy of the model takes model.parallelism.tensor x pipeline ranks",
        advice=f"possible are {allowed}",
    )
