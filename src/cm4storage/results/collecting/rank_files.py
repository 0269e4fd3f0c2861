"""The figures of the epochs, from the files of all ranks, and the formula that they follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cm4storage.results.collecting.files import (
    UnreadableFileError,
    mapping,
    number,
    read_object,
    seconds_between,
    sequence,
)
from cm4storage.results.collecting.model import Figure, Recomputation
from cm4storage.results.collecting.recomputing import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cm4storage.results.collecting.model import Value

FORMULAS = ("v1.0", "v2.0", "v3.0")
EVALUATION = "eval"

_CLOSE = 1e-3
"""How far a block's throughput may be from a formula: its times are stamps of the wall clock."""


@dataclass
class _Sums:
    """Sums over ranks, by epoch; an epoch that one rank lacks has None."""

    au: dict[str, float | None] = field(default_factory=dict)
    rate: dict[str, float | None] = field(default_factory=dict)

    def add(self, epoch: str, au: float | None, rate: float | None, *, is_first: bool) -> None:
        for sums, value in ((self.au, au), (self.rate, rate)):
            before = 0.0 if is_first else sums.get(epoch)
            sums[epoch] = None if before is None or value is None else before + value


def of_ranks(metric: Mapping[str, Any], outputs: Mapping[int, Path], ranks: int) -> Recomputation:
    """Recompute AU and throughput of each epoch from ``{rank}_output.json``.

    Parameters
    ----------
    metric : mapping
        That of ``summary.json``.
    outputs : mapping
        By rank.
    ranks : int
        How many there are to be.
    """
    if not sequence(metric.get("train_au_percentage")):
        return Recomputation()
    absent = ranks - sum(rank < ranks for rank in outputs)  # no list: a damaged file may say 10^12
    if absent or ranks < 1:
        which = f"the files of {absent:,} of {ranks:,} ranks are not there"
        return _nothing("{rank}_output.json is not there" if not outputs else which)
    training, evaluation = _Sums(), _Sums()
    try:
        for rank in range(ranks):
            _add_rank(read_object(outputs[rank]), training, evaluation, is_first=rank == 0)
    except UnreadableFileError as error:
        return _nothing(str(error))
    figures = [*_figures("train", metric, training, ranks)]
    figures += _figures(EVALUATION, metric, evaluation, ranks)
    if not figures:
        return _nothing("the files of the ranks have no figures of epochs")
    return Recomputation(tuple(figures))


def _nothing(reason: str) -> Recomputation:
    return Recomputation((), (f"AU and throughput of each epoch: {reason}",))


def _add_rank(
    output: Mapping[str, Any], training: _Sums, evaluation: _Sums, *, is_first: bool
) -> None:
    for epoch in _epochs(output):
        content = mapping(output[epoch])
        blocks = [name for name in mapping(content.get("compute")) if name != EVALUATION]
        if blocks:
            au, rate = (_weighted(content, name, blocks) for name in ("au", "throughput"))
            training.add(epoch, au, rate, is_first=is_first)
        if EVALUATION in mapping(content.get("au")):
            au, rate = (_weighted(content, name, [EVALUATION]) for name in ("au", "throughput"))
            evaluation.add(epoch, au, rate, is_first=is_first)


def _epochs(output: Mapping[str, Any]) -> list[str]:
    return sorted((name for name in output if name.isdecimal() and len(name) < 9), key=int)


def _weighted(content: Mapping[str, Any], name: str, blocks: Sequence[str]) -> float | None:
    """Return the mean over blocks, weighted with their steps; 0 without a step, as in DLIO."""
    total, steps = 0.0, 0
    for block in blocks:
        count = len(sequence(mapping(content.get("proc")).get(block)))
        value = number(mapping(content.get(name)).get(block))
        if count and value is None:
            return None
        total, steps = total + (value or 0.0) * count, steps + count
    return total / steps if steps else 0.0


def _figures(kind: str, metric: Mapping[str, Any], sums: _Sums, ranks: int) -> Iterator[Figure]:
    for name, of, divisor in (
        (f"{kind}_au_percentage", sums.au, ranks),
        (f"{kind}_throughput_samples_per_second", sums.rate, 1),
    ):
        published = sequence(metric.get(name))
        for place, (epoch, total) in enumerate(sorted(of.items(), key=lambda each: int(each[0]))):
            given = number(published[place]) if place < len(published) else None
            found = None if total is None else total / divisor
            if given is not None or found is not None:
                yield Figure(f"{name}[{epoch}]", given, found)


def formula_of(
    output: Mapping[str, Any], stats: Mapping[str, Any], parameters: Mapping[str, Value]
) -> str:
    """Return the round whose formula the throughputs of a rank's blocks follow; else nothing.

    Times of blocks are known to a microsecond of the wall clock, so that this tells formulas
    apart, but does not reach `TOLERANCE`.
    """
    worst = dict.fromkeys(FORMULAS, 0.0)
    blocks = list(_blocks(output, stats, parameters))
    for published, by_formula in blocks:
        for name, value in zip(FORMULAS, by_formula, strict=True):
            worst[name] = max(worst[name], abs(published - value) / abs(published))
    first, second = sorted(worst, key=lambda name: worst[name])[:2]
    is_clear = worst[first] <= _CLOSE and worst[second] > 3 * worst[first]
    return first if blocks and is_clear else ""


def _blocks(
    output: Mapping[str, Any], stats: Mapping[str, Any], parameters: Mapping[str, Value]
) -> Iterator[tuple[float, tuple[float, float, float]]]:
    """Yield the published throughput of each block, and what each formula gives."""
    batch = number(parameters.get("reader.batch_size")) or 1.0
    for epoch in _epochs(output):
        content = mapping(output[epoch])
        for block, compute in mapping(content.get("compute")).items():
            stamps = mapping(mapping(stats.get(epoch)).get(block))
            duration_s = seconds_between(stamps.get("start"), stamps.get("end"))
            published = number(mapping(content.get("throughput")).get(block))
            process_s = known(mapping(content.get("proc")).get(block))
            steps = len(sequence(compute))
            if block != EVALUATION and published and duration_s and steps == len(process_s):
                times = _throughputs(process_s, duration_s, batch, parameters)
                if times:
                    yield published, times


def _throughputs(
    process_s: Sequence[float],
    duration_s: float,
    batch_size: float,
    parameters: Mapping[str, Value],
) -> tuple[float, float, float] | None:
    """Return the throughput of a block in the formulas of `FORMULAS`.

    Source: ``compute_metrics_train`` of ``utils/statscounter.py``; the 2 that v2.0 takes off is
    not the number of steps that it leaves out.
    """
    given = number(parameters.get("output.metric.exclude_start_steps"))
    skipped = 1 if given is None else max(0, int(given))
    end = len(process_s) - int(number(parameters.get("output.metric.exclude_end_steps")) or 0)
    total_s = duration_s - sum(process_s[:skipped]) - sum(process_s[max(0, end) :])
    if total_s <= 0 or end <= skipped:
        return None
    steps = len(process_s)
    return (
        steps / duration_s * batch_size,
        max(0, steps - 2) / total_s * batch_size,
        (end - skipped) / total_s * batch_size,
    )
