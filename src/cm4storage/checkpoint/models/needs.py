"""What a run of checkpoints writes and reads, computed before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.checkpoint.models.layout import Layout

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload


@dataclass(frozen=True)
class CheckpointNeeds:
    """The needs of one run.

    Attributes
    ----------
    ranks : int
        One process each.
    checkpoint_bytes, model_bytes, optimizer_bytes : int
        One checkpoint of all ranks; the tensors, without what the files' format adds.
    files : int
        Of one checkpoint.
    writes, reads : int
        How many checkpoints.
    written_bytes : int
        What they take on the storage, all together.
    least_time_s : float
        The pauses before the checkpoints.
    """

    ranks: int
    checkpoint_bytes: int
    model_bytes: int
    optimizer_bytes: int
    files: int
    writes: int
    reads: int
    written_bytes: int
    least_time_s: float


def checkpoint_needs(workload: Workload, ranks: int | None = None) -> CheckpointNeeds:
    """Return what the checkpoints of `workload` need.

    Raises
    ------
    UserError
        If the model cannot be spread over so many ranks.
    """
    layout, checkpoint = Layout(workload, ranks), workload.checkpoint
    total = layout.total
    writes = max(0, checkpoint.num_checkpoints_write)
    reads = max(0, checkpoint.num_checkpoints_read)
    return CheckpointNeeds(
        ranks=layout.ranks,
        checkpoint_bytes=total.total_bytes,
        model_bytes=total.model_bytes,
        optimizer_bytes=total.optimizer_bytes,
        files=total.files,
        writes=writes,
        reads=reads,
        written_bytes=total.total_bytes * writes,
        least_time_s=abs(checkpoint.time_between_checkpoints) * (writes + reads),
    )
