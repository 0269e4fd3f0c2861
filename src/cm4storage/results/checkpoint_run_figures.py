"""The figures of checkpoints: by the rules of MLPerf Storage, and as DLIO computes them.

A checkpoint's size S is that of the tensors of all ranks. With d(r) its duration on rank r:

- Rules of MLPerf Storage v2.0, Checkpointing: duration = max over r of d(r), throughput = min over
  r of S / d(r); the result is the mean over all checkpoints.
- DLIO (``utils/statscounter.py``): the same with d(0) alone, since its summary takes in the values
  of rank 0 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cm4storage.core.units import GIB, format_count
from cm4storage.results.checkpoint_records import digest_of
from cm4storage.results.figures import TUNABLE_KEYS
from cm4storage.results.metrics import Spread
from cm4storage.workload.resolved import from_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.results.checkpoint_records import (
        CheckpointRunRecord,
        OperationKind,
        OperationRecord,
    )
    from cm4storage.workload.model import Workload

_TUNABLE_KEYS = TUNABLE_KEYS | {
    "checkpoint.num_checkpoints_read",
    "checkpoint.num_checkpoints_write",
}

_SUBSET_KEYS = {"checkpoint.mode", "model.parallelism.data"}
_SUBSET_RANKS = 8
"""What the subset mode of MLPerf Storage v2.0 runs, of all the ranks of a model."""


@dataclass(frozen=True)
class CheckpointFigures:
    """The figures of one checkpoint that was written or read by all ranks.

    Attributes
    ----------
    number : int
    duration_max_s : float
        On the slowest rank.
    throughput_min_gib_per_s : float
        S over that.
    duration_rank_0_s, throughput_rank_0_gib_per_s : float
        DLIO's.
    span_s : float
        From the first rank's start to the last one's end, by the wall clock.
    tensor_bytes, stored_bytes, files : int
        Of all ranks, as in `OperationRecord`.
    content_digest : str or None
        Of what all ranks wrote; None where it is not known.
    """

    number: int
    duration_max_s: float
    throughput_min_gib_per_s: float
    duration_rank_0_s: float
    throughput_rank_0_gib_per_s: float
    span_s: float
    tensor_bytes: int
    stored_bytes: int
    files: int
    content_digest: str | None


@dataclass(frozen=True)
class CheckpointRunFigures:
    """A run with its workload and figures; input of every writer.

    Attributes
    ----------
    saves, loads : list of CheckpointFigures
        By number.
    """

    record: CheckpointRunRecord
    workload: Workload
    saves: list[CheckpointFigures]
    loads: list[CheckpointFigures]

    @property
    def size_bytes(self) -> int:
        """The tensors of all ranks in one checkpoint."""
        layout = self.record.layout
        return int(layout["model_bytes"]) + int(layout["optimizer_bytes"])

    @property
    def ranks(self) -> int:
        """The number of ranks."""
        return int(self.record.layout["ranks"])

    @property
    def not_comparable_because(self) -> list[str]:
        """Why the figures cannot be held against those of the workload as it is published."""
        if self.workload.scale == "quick":
            return ["quick scale"]
        reasons = self._other_ranks()
        asked = set(self.record.workload["overrides"]) - _TUNABLE_KEYS
        changed = sorted(asked - (_SUBSET_KEYS if self._is_whole_subset else set()))
        return reasons + [f"{key} was changed" for key in changed]

    def _other_ranks(self) -> list[str]:
        layout = self.record.layout
        prescribed = _SUBSET_RANKS if layout["is_subset"] else layout["prescribed_ranks"]
        if not layout["prescribed_ranks"] or self.ranks == prescribed:
            return []
        return [f"{format_count(self.ranks, 'rank')} in place of {prescribed}"]

    @property
    def _is_whole_subset(self) -> bool:
        """Whether this is the subset mode of the rules: 8 of the ranks that are prescribed."""
        layout = self.record.layout
        grid = layout["tensor"] * layout["pipeline"] * layout["data"]
        return bool(layout["is_subset"] and grid == layout["prescribed_ranks"])

    def of(self, kind: OperationKind) -> list[CheckpointFigures]:
        """Return the figures of all that was written, or read."""
        return self.saves if kind == "save" else self.loads

    def operations(self, rank: int) -> list[OperationRecord]:
        """Return what one rank did, in its order."""
        return [each for each in self.record.operations if each.rank == rank]


def of_checkpoint_run(record: CheckpointRunRecord) -> CheckpointRunFigures:
    """Return the figures of a run.

    Raises
    ------
    UserError
        If the workload in the record is damaged.
    """
    workload = from_document(record.workload, "the run's record").workload
    size_gib = (record.layout["model_bytes"] + record.layout["optimizer_bytes"]) / GIB
    saves, loads = (_by_number(record.operations, kind, size_gib) for kind in ("save", "load"))
    return CheckpointRunFigures(record, workload, saves, loads)


def durations(figures: Sequence[CheckpointFigures]) -> Spread:
    """Return mean and deviation of the rules' durations."""
    return Spread.of([each.duration_max_s for each in figures])


def throughputs(figures: Sequence[CheckpointFigures]) -> Spread:
    """Return mean and deviation of the rules' throughputs."""
    return Spread.of([each.throughput_min_gib_per_s for each in figures])


def _by_number(
    operations: Sequence[OperationRecord], kind: str, size_gib: float
) -> list[CheckpointFigures]:
    together: dict[int, list[OperationRecord]] = {}
    for operation in operations:
        if operation.kind == kind:
            together.setdefault(operation.number, []).append(operation)
    return [_of_one(together[number], size_gib) for number in sorted(together)]


def _of_one(operations: Sequence[OperationRecord], size_gib: float) -> CheckpointFigures:
    """Return the figures of one checkpoint from what its ranks did."""
    slowest_s = max(each.duration_s for each in operations)
    rank_0_s = next(each.duration_s for each in operations if each.rank == 0)
    first = min(datetime.fromisoformat(each.start) for each in operations)
    last = max(datetime.fromisoformat(each.end) for each in operations)
    return CheckpointFigures(
        number=operations[0].number,
        duration_max_s=slowest_s,
        throughput_min_gib_per_s=size_gib / slowest_s,
        duration_rank_0_s=rank_0_s,
        throughput_rank_0_gib_per_s=size_gib / rank_0_s,
        span_s=(last - first).total_seconds(),
        tensor_bytes=sum(each.tensor_bytes for each in operations),
        stored_bytes=sum(each.stored_bytes for each in operations),
        files=sum(each.files for each in operations),
        content_digest=_content_digest(operations),
    )


def _content_digest(operations: Sequence[OperationRecord]) -> str | None:
    of_ranks = sorted((each.rank, each.content_digest) for each in operations)
    return digest_of(of_ranks) if all(digest for _, digest in of_ranks) else None
