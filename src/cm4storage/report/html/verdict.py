"""What the page says first: whether the storage keeps up, and what the figure is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.core.units import format_count
from cm4storage.report.html import wording

if TYPE_CHECKING:
    from cm4storage.results.figures import RunFigures

_LEAST_STEPS = 500
_TIMES_MEMORY = 5
_MUCH_CACHED = 0.1


@dataclass(frozen=True)
class Condition:
    """One condition of a valid result.

    Attributes
    ----------
    name, asked, found : str
    is_met : bool
    """

    name: str
    asked: str
    found: str
    is_met: bool


@dataclass(frozen=True)
class Verdict:
    """The head of the page.

    Attributes
    ----------
    state : str
        ``reached``, ``missed`` or ``unknown``.
    headline, detail : str
    au_percent, threshold_percent : float
        The former is None where it was not measured.
    conditions : list of Condition
    not_comparable_because : list of str
    """

    state: str
    headline: str
    detail: str
    au_percent: float | None
    threshold_percent: float
    conditions: list[Condition]
    not_comparable_because: list[str]

    @property
    def missed(self) -> list[Condition]:
        """The conditions that are not met; the result is valid where there is none."""
        return [each for each in self.conditions if not each.is_met]


def verdict_of(figures: RunFigures) -> Verdict:
    """Return the verdict on a run."""
    au, threshold = figures.au_fraction, figures.workload.au_threshold * 100
    state, headline = _headline(figures)
    detail = "The epochs have no step after those that the formula leaves out."
    if au.mean is not None and au.stdev is not None:
        spread = f" \N{PLUS-MINUS SIGN} {au.stdev * 100:.1f}" if len(figures.epochs) > 1 else ""
        verb = "reaches" if figures.meets_expectation else "misses"
        detail = (
            f"The accelerator computes for {au.mean * 100:.1f}{spread}\N{NO-BREAK SPACE}% of the "
            f"time, which {verb} the threshold of {wording.threshold(threshold)}."
        )
    return Verdict(
        state, headline, detail,
        None if au.mean is None else au.mean * 100, threshold,
        conditions(figures), figures.not_comparable_because,
    )  # fmt: skip


def _headline(figures: RunFigures) -> tuple[str, str]:
    if figures.au_fraction.mean is None:
        return "unknown", "The utilization was not measured"
    if figures.meets_expectation:
        return "reached", "The storage keeps the accelerator busy"
    return "missed", "The storage does not keep the accelerator busy"


def conditions(figures: RunFigures) -> list[Condition]:
    """Return what MLPerf Storage asks of a result, as far as one run can show it.

    Sources: the threshold of the utilization, ``metric.au``; the size of the data set, Rules.md of
    mlcommons/storage v2.0: 500 steps an epoch, and five times the memory of the hosts.
    """
    threshold = figures.workload.au_threshold * 100
    mean = figures.au_fraction.mean
    found = [
        Condition(
            "accelerator utilization", f"at least {wording.threshold(threshold)}",
            wording.percent(None if mean is None else mean * 100), figures.meets_expectation,
        ),
        _steps(figures),
        _data(figures),
        Condition(
            "files left out", "none", format_count(figures.skipped_files, "file"),
            figures.skipped_files == 0,
        ),
    ]  # fmt: skip
    checkpoints = figures.record.checkpoints
    if checkpoints:
        failed = sum(1 for each in checkpoints if each.error)
        text = f"{failed:,} of {format_count(len(checkpoints), 'checkpoint')}"
        found.append(Condition("failed checkpoints", "none", text, failed == 0))
    return found


def _steps(figures: RunFigures) -> Condition:
    """Return whether epochs are long enough; whole files are needed, so that rules round down."""
    batch, per_file = figures.workload.reader.batch_size, _samples_per_file(figures)
    needed = _LEAST_STEPS * batch // per_file * per_file // batch
    least = min((len(epoch.compute_s) for epoch in figures.record.epochs), default=0)
    return Condition(
        "length of an epoch", f"at least {_LEAST_STEPS} steps", format_count(least, "step"),
        least >= needed,
    )  # fmt: skip


def _data(figures: RunFigures) -> Condition:
    dataset = figures.workload.dataset
    memory_bytes = figures.record.environment["host"]["memory_bytes"]
    file_bytes = _samples_per_file(figures) * dataset.sample_bytes
    needed = _TIMES_MEMORY * memory_bytes // file_bytes if file_bytes else 0
    return Condition(
        "size of the data set",
        f"{_TIMES_MEMORY} times the memory, {wording.size(_TIMES_MEMORY * memory_bytes)}",
        wording.size(dataset.num_files_train * file_bytes),
        dataset.num_files_train >= needed,
    )


def _samples_per_file(figures: RunFigures) -> int:
    return max(1, figures.workload.dataset.num_samples_per_file)


def warnings(figures: RunFigures) -> list[str]:
    """Return what weakens the figures of a run, in words."""
    record, threshold = figures.record, figures.workload.au_threshold
    found = []
    resident = record.epochs[0].resident_before if record.epochs else None
    if resident is not None and resident >= _MUCH_CACHED:
        found.append(
            f"{wording.percent(resident * 100, 0)} of the data set was in the page cache before the"
            " first epoch: part of what was measured is memory. --cold evicts it first."
        )
    below = [
        str(epoch.number)
        for epoch, metrics in zip(record.epochs, figures.epochs, strict=True)
        if metrics.au_fraction is not None and metrics.au_fraction < threshold
    ]
    if below and figures.meets_expectation:
        epochs = "epoch" if len(below) == 1 else "epochs"
        found.append(f"The mean reaches the threshold; {epochs} {', '.join(below[:10])} did not.")
    if record.retries:
        times = format_count(record.retries, "request")
        found.append(f"{times} to the storage had to be sent again; the figures have that time.")
    if len(record.epochs) == 1:
        found.append("One epoch only: nothing is known about the spread of the figures.")
    errors = [each for each in record.checkpoints if each.error]
    found += [f"The checkpoint of step {each.step} failed: {each.error}" for each in errors[:10]]
    return found
