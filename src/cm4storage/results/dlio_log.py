"""``dlio.log``: the course of a run in the lines that DLIO writes, from the run's record.

Source of the texts: ``utils/statscounter.py`` and ``main.py`` of dlio_benchmark.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from cm4storage.results import blocks
from cm4storage.results.metrics import of_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.results.figures import RunFigures
    from cm4storage.results.metrics import EpochMetrics
    from cm4storage.results.records import CheckpointRecord, EpochRecord, RunRecord
    from cm4storage.workload.model import Workload


def dlio_log(figures: RunFigures, metric: Mapping[str, Any]) -> str:
    """Return the content of ``dlio.log``, each line with the time at which it happened.

    Parameters
    ----------
    figures : RunFigures
    metric : mapping
        That of ``summary.json``, which ends the log.
    """
    record, dataset = figures.record, figures.workload.dataset
    batch_size = figures.workload.reader.batch_size
    steps = figures.workload.steps_per_epoch()
    product = f"{dataset.num_samples_per_file} * {dataset.num_files_train} / {batch_size} / 1"
    meaning = "(samples per file * num files / batch size / comm size)"
    start = [
        "Running DLIO with 1 process(es)",
        f"Max steps per epoch: {steps} = {product} {meaning}",
        *(f"not comparable: {reason}" for reason in figures.not_comparable_because),
    ]
    lines = [_line(record.start, text) for text in start]
    pairs = zip(record.evaluations, figures.evaluations, strict=True)
    evaluated = {each.number: (each, metrics) for each, metrics in pairs}
    for epoch in record.epochs:
        lines += _epoch(record, epoch, figures.workload)
        if epoch.number in evaluated:
            lines += _evaluation(*evaluated[epoch.number])
    lines += [_line(record.end, text, "METRIC") for text in _averages(metric)]
    return "\n".join(lines) + "\n"


def _line(time: str, text: str, level: str = "OUTPUT") -> str:
    return f"[{level}] {time} {text}"


def _epoch(record: RunRecord, epoch: EpochRecord, workload: Workload) -> list[str]:
    """Return the lines of an epoch; checkpoints may be written while the next block runs."""
    steps, number = len(epoch.compute_s), epoch.number
    course = [_line(epoch.start, f"Starting epoch {number}: {steps} steps expected")]
    parts = blocks.of_epoch(record, epoch), blocks.checkpoints_of(record, epoch)
    for place, (block, checkpoint) in enumerate(zip_longest(*parts), start=1):
        if block is not None:
            course += _block(block.steps, place, of_epoch(block.steps, workload))
        if checkpoint is not None:
            course += _checkpoint(checkpoint, place, number)
    course.append(_line(epoch.end, f"Ending epoch {number} - {_completed(epoch)}"))
    return sorted(course, key=lambda line: line.split()[1])


def _completed(steps: EpochRecord) -> str:
    return f"{len(steps.compute_s)} steps completed in {steps.duration_s:.2f} s"


def _block(steps: EpochRecord, place: int, metrics: EpochMetrics) -> Iterator[str]:
    yield _line(steps.start, f"Starting block {place}")
    yield _line(steps.end, f"Ending block {place} - {_completed(steps)}")
    for text in _measured(metrics):
        yield _line(steps.end, f"Epoch {steps.number} - Block {place} [Training] {text}")


def _evaluation(steps: EpochRecord, metrics: EpochMetrics) -> Iterator[str]:
    expected = f"{len(steps.compute_s)} steps expected"
    yield _line(steps.start, f"Starting eval - {expected}")
    yield _line(steps.end, f"Ending eval - {_completed(steps)}")
    for text in _measured(metrics):
        yield _line(steps.end, f"Epoch {steps.number} [Eval] {text}")


def _measured(metrics: EpochMetrics) -> Iterator[str]:
    if metrics.au_fraction is not None:
        yield f"Accelerator Utilization [AU] (%): {metrics.au_fraction * 100:.4f}"
    if metrics.samples_per_s is not None:
        yield f"Throughput (samples/second): {metrics.samples_per_s:.4f}"


def _checkpoint(checkpoint: CheckpointRecord, place: int, epoch: int) -> Iterator[str]:
    begun = f"Starting checkpoint {place} after total step {checkpoint.step}"
    yield _line(checkpoint.start, f"{begun} for epoch {epoch}")
    yield _line(checkpoint.end, f"Ending checkpoint {place} for epoch {epoch}")


def _averages(metric: Mapping[str, Any]) -> Iterator[str]:
    yield "Averaged metric over all steps/epochs"
    yield "Number of Simulated Accelerators: 1"
    for phase, title, digits in (("train", "Training", 4), ("eval", "Eval", 6)):
        io = "I/O Throughput" if phase == "train" else "Throughput"
        for text, name, places in (
            ("Accelerator Utilization [AU] (%)", "au_{}_percentage", 4),
            ("Throughput (samples/second)", "throughput_{}_samples_per_second", digits),
            (f"{io} (MB/second)", "io_{}_MB_per_second", digits),
        ):
            mean, stdev = (metric.get(f"{phase}_{name.format(of)}") for of in ("mean", "stdev"))
            if mean is not None and stdev is not None:
                yield f"{title} {text}: {mean:.{places}f} ({stdev:.{places}f})"
        met = f"{phase}_au_meet_expectation"
        if metric.get(met):
            yield f"{met}: {metric[met]}"
