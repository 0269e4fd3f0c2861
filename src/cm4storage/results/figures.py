"""A run's record together with the figures computed from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cm4storage.core.units import format_count
from cm4storage.results.metrics import EpochMetrics, Spread, of_epoch, of_evaluation
from cm4storage.workload.resolved import from_document

if TYPE_CHECKING:
    from cm4storage.results.records import EpochRecord, RunRecord
    from cm4storage.workload.model import Workload

TUNABLE_KEYS = frozenset(
    {
        "dataset.num_files_train",
        "dataset.num_subfolders_train",
        "dataset.data_folder",
        "reader.read_threads",
        "reader.computation_threads",
        "reader.transfer_size",
        "reader.prefetch_size",
        "reader.odirect",
        "checkpoint.checkpoint_folder",
        "storage.storage_root",
        "storage.storage_type",
    }
)
"""What MLPerf Storage's CLOSED division lets a submitter change (rules of v2.0, section 6)."""

TUNABLE_OPTIONS = frozenset({"checkpoint_dir", "fsync", "keep_last", "on_error", "run_id"})
"""Options of checkpoints that change neither when nor how the bytes are written."""


@dataclass(frozen=True)
class RunFigures:
    """A run with its workload and the figures of its epochs; input of every writer."""

    record: RunRecord
    workload: Workload
    epochs: list[EpochMetrics]
    evaluations: list[EpochMetrics] = field(default_factory=list)

    @property
    def au_fraction(self) -> Spread:
        """Accelerator utilization over the epochs, 0 to 1."""
        return Spread.of([epoch.au_fraction for epoch in self.epochs])

    @property
    def samples_per_s(self) -> Spread:
        """Throughput over the epochs."""
        return Spread.of([epoch.samples_per_s for epoch in self.epochs])

    @property
    def read_mib_per_s(self) -> Spread:
        """Bytes really read over time, over the epochs, in MiB/s."""
        return Spread.of([epoch.read_mib_per_s for epoch in self.epochs])

    @property
    def not_comparable_because(self) -> list[str]:
        """Why the figures cannot be held against those of the workload as it is published."""
        reasons = []
        if self.workload.scale == "quick":
            reasons.append("quick scale")
        else:
            changed = sorted(set(self.record.workload["overrides"]) - TUNABLE_KEYS)
            reasons += [f"{key} was changed" for key in changed]
        limits = self.record.limits
        reasons += [f"limited by {name}={value}" for name, value in limits.items() if value]
        parts = self.record.conduct.get("own_parts", [])
        reasons += [f"a {part.replace('_', ' ')} of one's own" for part in parts]
        added = self.record.conduct.get("added_plugins", [])
        reasons += [f"plugin {name} was added" for name in added]
        for name, options in self.record.conduct.get("changed_options", {}).items():
            changed = [option for option in options if option not in TUNABLE_OPTIONS]
            reasons += [f"{name} option {option} was changed" for option in changed]
        if self.skipped_files:
            reasons.append(f"{format_count(self.skipped_files, 'file')} skipped")
        return reasons

    @property
    def skipped_files(self) -> int:
        """How many files were left out, in the epochs and the evaluations."""
        return sum(epoch.skipped_files for epoch in self._all_records)

    @property
    def _all_records(self) -> list[EpochRecord]:
        return [*self.record.epochs, *self.record.evaluations]

    @property
    def meets_expectation(self) -> bool:
        """Whether the mean AU reaches the workload's threshold."""
        mean = self.au_fraction.mean
        return mean is not None and mean >= self.workload.au_threshold


def of_run(record: RunRecord) -> RunFigures:
    """Return the figures of a run.

    Raises
    ------
    UserError
        If the workload in the record is damaged.
    """
    workload = from_document(record.workload, "the run's record").workload
    return RunFigures(
        record,
        workload,
        [of_epoch(epoch, workload) for epoch in record.epochs],
        [of_evaluation(epoch, workload) for epoch in record.evaluations],
    )
