"""The blocks of an epoch: DLIO ends one before each checkpoint and begins another after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cm4storage.results.records import CheckpointRecord, EpochRecord, RunRecord


@dataclass(frozen=True)
class Block:
    """Steps of an epoch without a checkpoint between them.

    Attributes
    ----------
    name : str
        ``block1``, ``block2``, ...
    steps : EpochRecord
        Of these steps alone, with start, end and duration of the block.
    """

    name: str
    steps: EpochRecord


def of_epoch(record: RunRecord, epoch: EpochRecord) -> list[Block]:
    """Return the blocks of an epoch in their order; one where no checkpoint was in between."""
    count, written = len(epoch.compute_s), _steps(record, epoch)
    inside = [(step, each) for step, each in written if step < count]
    # A checkpoint after the last step is no part of the block before it, either.
    last_end = min([epoch.end, *(each.start for step, each in written if step == count)])
    if not inside:
        steps = replace(epoch, end=last_end, duration_s=epoch.loading_s, plugins_s=None)
        return [Block("block1", steps)]
    blocks: list[Block] = []
    lengths = _Lengths.of(epoch)
    first, start = 0, epoch.start
    for step, checkpoint in inside:
        times = (start, checkpoint.start)
        blocks.append(_block(epoch, len(blocks), slice(first, step), times, lengths))
        first, start = step, _after(checkpoint)
    times = (start, last_end)
    blocks.append(_block(epoch, len(blocks), slice(first, count), times, lengths))
    return blocks


def checkpoints_of(record: RunRecord, epoch: EpochRecord) -> list[CheckpointRecord]:
    """Return the checkpoints that follow steps of an epoch."""
    return [each for _, each in _steps(record, epoch)]


def _steps(record: RunRecord, epoch: EpochRecord) -> list[tuple[int, CheckpointRecord]]:
    """Return the checkpoints that were written, each with its step counted within the epoch."""
    before = sum(len(each.compute_s) for each in record.epochs if each.number < epoch.number)
    counted = [(each.step - before, each) for each in record.checkpoints if not each.error]
    return [pair for pair in counted if 0 < pair[0] <= len(epoch.compute_s)]


@dataclass(frozen=True)
class _Lengths:
    """How long the steps of an epoch took by the monotonic clock, and what is of no step."""

    steps_s: list[float]
    spare_s: float

    @classmethod
    def of(cls, epoch: EpochRecord) -> _Lengths:
        barrier_s = epoch.barrier_s or [0.0] * len(epoch.compute_s)
        steps_s = [sum(step) for step in zip(epoch.process_s, barrier_s, strict=True)]
        return cls(steps_s, max(0.0, epoch.loading_s - sum(steps_s)))

    def within(self, taken: slice, wall_s: float) -> float:
        """Return how long some steps took that last `wall_s` by a clock that may be set."""
        least_s = sum(self.steps_s[taken])
        return min(max(wall_s, least_s), least_s + self.spare_s)


def _block(
    epoch: EpochRecord, number: int, taken: slice, times: tuple[str, str], lengths: _Lengths
) -> Block:
    start, end = map(datetime.fromisoformat, times)
    record = replace(
        epoch,
        start=times[0],
        end=times[1],
        duration_s=lengths.within(taken, (end - start).total_seconds()),
        wait_s=epoch.wait_s[taken],
        compute_s=epoch.compute_s[taken],
        plugins_s=None,
    )
    return Block(f"block{number + 1}", record)


def _after(checkpoint: CheckpointRecord) -> str:
    """Return when the training went on."""
    end = datetime.fromisoformat(checkpoint.start) + timedelta(seconds=checkpoint.stall_s)
    return end.isoformat(timespec="microseconds")
