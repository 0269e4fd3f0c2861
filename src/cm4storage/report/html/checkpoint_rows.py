"""The checkpoints of a run, and its ranks, as rows of tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.report.html.checkpoint_verdict import KINDS, VERBS
from cm4storage.report.html.steps import seconds_between

if TYPE_CHECKING:
    from cm4storage.results.checkpoint_records import OperationKind, OperationRecord
    from cm4storage.results.checkpoint_run_figures import CheckpointFigures, CheckpointRunFigures

MOST_ROWS = 400


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint that was written or read.

    Attributes
    ----------
    verb : {'written', 'read'}
    start_s : float
        Since the begin of the run.
    slowest_rank : int
    duration_min_s : float
        On the fastest rank.
    figures : CheckpointFigures
    """

    verb: str
    start_s: float
    slowest_rank: int
    duration_min_s: float
    figures: CheckpointFigures


@dataclass(frozen=True)
class Share:
    """What one rank wrote, or read, of all checkpoints.

    Attributes
    ----------
    stored_bytes, files : int
        Of one checkpoint.
    mean_s, longest_s : float
    to_mean_percent : float or None
        By how much its mean duration is above that of all ranks.
    """

    stored_bytes: int
    files: int
    mean_s: float
    longest_s: float
    to_mean_percent: float | None


@dataclass(frozen=True)
class RankRow:
    """A rank; a side is None where nothing was written, or read.

    Attributes
    ----------
    rank : int
    written, read : Share or None
    source_rank : int
        Whose files it read.
    """

    rank: int
    written: Share | None
    read: Share | None
    source_rank: int


def checkpoint_rows(figures: CheckpointRunFigures) -> list[CheckpointRow]:
    """Return all that was written, then all that was read."""
    of_all: dict[tuple[OperationKind, int], list[OperationRecord]] = {}
    for each in figures.record.operations:
        of_all.setdefault((each.kind, each.number), []).append(each)
    return [
        _checkpoint(one, of_all[kind, one.number], figures.record.start)
        for kind in KINDS
        for one in figures.of(kind)
    ]


def _checkpoint(
    one: CheckpointFigures, operations: list[OperationRecord], start: str
) -> CheckpointRow:
    spent = [(each.duration_s, each.rank) for each in operations]
    begin_s = min(seconds_between(start, each.start) for each in operations)
    return CheckpointRow(VERBS[operations[0].kind], begin_s, max(spent)[1], min(spent)[0], one)


def rank_rows(figures: CheckpointRunFigures) -> list[RankRow]:
    """Return the ranks by number."""
    of_ranks: dict[tuple[OperationKind, int], list[OperationRecord]] = {}
    for each in figures.record.operations:
        of_ranks.setdefault((each.kind, each.rank), []).append(each)
    means_s = {kind: _mean_s(figures, kind) for kind in KINDS}
    rows = []
    for rank in range(figures.ranks):
        written, read = of_ranks.get(("save", rank), []), of_ranks.get(("load", rank), [])
        source = read[0].source_rank if read else rank
        shares = _share(written, means_s["save"]), _share(read, means_s["load"])
        rows.append(RankRow(rank, *shares, source))
    return rows


def _mean_s(figures: CheckpointRunFigures, kind: OperationKind) -> float | None:
    spent = [each.duration_s for each in figures.record.operations if each.kind == kind]
    return sum(spent) / len(spent) if spent else None


def _share(operations: list[OperationRecord], of_all_s: float | None) -> Share | None:
    if not operations:
        return None
    spent = [each.duration_s for each in operations]
    mean_s = sum(spent) / len(spent)
    to_mean = (mean_s / of_all_s - 1) * 100 if of_all_s else None
    first = operations[0]
    return Share(first.stored_bytes, first.files, mean_s, max(spent), to_mean)
