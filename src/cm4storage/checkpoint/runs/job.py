"""What one run is to do, as its ranks are told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.models.layout import Layout
from cm4storage.core.errors import UserError
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolved import from_document

if TYPE_CHECKING:
    from cm4storage.workload.resolved import Resolved

_MOST_THREADS = 4


@dataclass(frozen=True)
class CheckpointJob:
    """A run of checkpoints.

    Attributes
    ----------
    resolved : Resolved
        The workload.
    location : StoreLocation
        The checkpoint folder.
    ranks : int
    command : str
        How the run was started, without secrets; recorded.
    """

    resolved: Resolved
    location: StoreLocation
    ranks: int
    command: str

    @property
    def layout(self) -> Layout:
        """The files of all ranks."""
        return Layout(self.resolved.workload, self.ranks)

    @property
    def writes(self) -> int:
        """How many checkpoints are written."""
        return max(0, self.resolved.workload.checkpoint.num_checkpoints_write)

    @property
    def reads(self) -> int:
        """How many checkpoints are read: those of this run, or else those that are there."""
        return max(0, self.resolved.workload.checkpoint.num_checkpoints_read)

    @property
    def encoding(self) -> Encoding:
        """Files for ``torch.load``, made by the threads that are each rank's share."""
        each = len(os.sched_getaffinity(0)) // self.ranks
        return Encoding(container="torch", workers=min(_MOST_THREADS, max(1, each)))

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it; `from_document` is its inverse."""
        place = self.location
        return {
            "workload": self.resolved.to_document(),
            "ranks": self.ranks,
            "uri": place.uri,
            "endpoint_url": place.endpoint_url,
            "server_dir": str(place.server_dir) if place.server_dir else None,
            "client": place.client,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> CheckpointJob:
        """Return the job that a rank was told."""
        server_dir = document["server_dir"]
        place = StoreLocation(
            document["uri"],
            document["endpoint_url"],
            Path(server_dir) if server_dir else None,
            document["client"],
        )
        resolved = from_document(document["workload"], "the job of a rank")
        return cls(resolved, place, document["ranks"], command="")


def require_checkpoints(resolved: Resolved) -> None:
    """Refuse a workload that trains, or has no checkpoints to write or read.

    Raises
    ------
    UserError
    """
    workload = resolved.workload
    if not workload.checkpoints_without_training:
        raise UserError(
            "checkpoints alone are written where workflow.checkpoint is true and workflow.train is "
            "false",
            where=resolved.source,
            meaning="this workload trains, or has no checkpoints",
            advice='set them: --params="workflow.checkpoint=true workflow.train=false"',
        )
    checkpoint = workload.checkpoint
    if max(checkpoint.num_checkpoints_write, checkpoint.num_checkpoints_read) < 1:
        raise UserError(
            "no checkpoint is to be written or read",
            where=resolved.source,
            advice="set checkpoint.num_checkpoints_write, num_checkpoints_read or both",
        )
