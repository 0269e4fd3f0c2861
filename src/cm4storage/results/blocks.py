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
    count = len(epoch.compute_s)
    inside = [(step, each) for step, each in _steps(record, epoch) if step < count]
    if not inside:
        return [Block("block1", replace(epoch, duration_s=epoch.loading_s, plugins_s=None))]
    blocks: list[Block] = []
    first, start = 0, epoch.start
    for step, checkpoint in inside:
        blocks.append(_block(epoch, len(blocks), (first, step), (start, checkpoint.start)))
        first, start = step, _after(checkpoint)
    blocks.append(_block(epoch, len(blocks), (first, count), (start, epoch.end)))
    return blocks


def checkpoints_of(record: RunRecord, epoch: EpochRecord) -> list[CheckpointRecord]:
    """Return the checkpoints that follow steps of an epoch."""
    return [each for _, each in _steps(record, epoch)]


def _steps(record: RunRecord, epoch: EpochRecord) -> list[tuple[int, CheckpointRecord]]:
    """Return the checkpoints that were written, each with its step counted within the epoch."""
    before = sum(len(each.compute_s) for each in record.epochs if each.number < epoch.number)
    counted = [(each.step - before, each) for each in record.checkpoints if not each.error]
    return [pair for pair in counted if 0 < pair[0] <= len(epoch.compute_s)]


def _block(
    epoch: EpochRecord, number: int, steps: tuple[int, int], times: tuple[str, str]
) -> Block:
    taken = slice(*steps)
    start, end = map(datetime.fromisoformat, times)
    record = replace(
        epoch,
        start=times[0],
        end=times[1],
        duration_s=(end - start).total_seconds(),
        wait_s=epoch.wait_s[taken],
        compute_s=epoch.compute_s[taken],
        plugins_s=None,
    )
    return Block(f"block{number + 1}", record)


def _after(checkpoint: CheckpointRecord) -> str:
    """Return when the training went on."""
    end = datetime.fromisoformat(checkpoint.start) + timedelta(seconds=checkpoint.stall_s)
    return end.isoformat(timespec="microseconds")
