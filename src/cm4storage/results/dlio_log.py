"""``dlio.log``: the course of a run in the lines that DLIO writes, from the run's record.

Source of the texts: ``utils/statscounter.py`` and ``main.py`` of dlio_benchmark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.results.blocks import checkpoints_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.results.figures import RunFigures
    from cm4storage.results.metrics import EpochMetrics
    from cm4storage.results.records import EpochRecord, RunRecord


def dlio_log(figures: RunFigures) -> str:
    """Return the content of ``dlio.log``, each line with the time at which it happened."""
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
    for epoch, metrics in zip(record.epochs, figures.epochs, strict=True):
        course = [*_epoch(epoch, metrics), *_checkpoints(record, epoch)]
        lines += sorted(course, key=lambda line: line.split()[1])
    lines += [_line(record.end, text, "METRIC") for text in _averages(figures)]
    return "\n".join(lines) + "\n"


def _line(time: str, text: str, level: str = "OUTPUT") -> str:
    return f"[{level}] {time} {text}"


def _epoch(epoch: EpochRecord, metrics: EpochMetrics) -> Iterator[str]:
    steps, number = len(epoch.compute_s), epoch.number
    completed = f"{steps} steps completed in {epoch.duration_s:.2f} s"
    yield _line(epoch.start, f"Starting epoch {number}: {steps} steps expected")
    yield _line(epoch.start, "Starting block 1")
    yield _line(epoch.end, f"Ending block 1 - {completed}")
    training = f"Epoch {number} - Block 1 [Training]"
    if metrics.au_fraction is not None and metrics.samples_per_s is not None:
        au_percent = metrics.au_fraction * 100
        yield _line(epoch.end, f"{training} Accelerator Utilization [AU] (%): {au_percent:.4f}")
        rate = f"{metrics.samples_per_s:.4f}"
        yield _line(epoch.end, f"{training} Throughput (samples/second): {rate}")
    yield _line(epoch.end, f"Ending epoch {number} - {completed}")


def _checkpoints(record: RunRecord, epoch: EpochRecord) -> Iterator[str]:
    for number, each in enumerate(checkpoints_of(record, epoch), start=1):
        begun = f"Starting checkpoint {number} after total step {each.step}"
        yield _line(each.start, f"{begun} for epoch {epoch.number}")
        yield _line(each.end, f"Ending checkpoint {number} for epoch {epoch.number}")


def _averages(figures: RunFigures) -> Iterator[str]:
    yield "Averaged metric over all steps/epochs"
    yield "Number of Simulated Accelerators: 1"
    au, rate = figures.au_fraction, figures.samples_per_s
    if au.mean is None or au.stdev is None or rate.mean is None or rate.stdev is None:
        return
    yield f"Training Accelerator Utilization [AU] (%): {au.mean * 100:.4f} ({au.stdev * 100:.4f})"
    yield f"Training Throughput (samples/second): {rate.mean:.4f} ({rate.stdev:.4f})"
    yield f"train_au_meet_expectation: {'success' if figures.meets_expectation else 'fail'}"
