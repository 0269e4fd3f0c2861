"""The Workload: what a run does, as plain frozen data."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from cm4storage.core.canonical import digest
from cm4storage.core.records import dataclass, field
from cm4storage.workload.distributions import Distribution
from cm4storage.workload.model_sections import (
    CheckpointSection,
    ModelSection,
    ProfilingSection,
    StorageSection,
)
from cm4storage.workload.plugin_choice import CHECKPOINT, PluginChoice
from cm4storage.workload.schema import keys
from cm4storage.workload.sections import (
    SECTIONS,
    DatasetSection,
    EvaluationSection,
    MetricSection,
    OutputSection,
    ParquetColumn,
    ReaderSection,
    TrainSection,
    WorkflowSection,
)

Scale = Literal["quick", "stock"]


@dataclass(frozen=True)
class Workload:
    """A resolved DLIO workload. Same YAML and same overrides give an equal Workload.

    Attributes
    ----------
    accelerator : str
        The emulated accelerator, such as ``h100``; empty when unknown.
    scale : {'quick', 'stock'}
        ``stock`` has the sizes of the YAML; ``quick`` is a smaller one of the same shape, whose
        figures are not comparable with any other.
    """

    accelerator: str = ""
    scale: Scale = "stock"
    framework: str = "tensorflow"
    model: ModelSection = field(default_factory=ModelSection)
    workflow: WorkflowSection = field(default_factory=WorkflowSection)
    storage: StorageSection = field(default_factory=StorageSection)
    dataset: DatasetSection = field(default_factory=DatasetSection)
    reader: ReaderSection = field(default_factory=ReaderSection)
    train: TrainSection = field(default_factory=TrainSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    checkpoint: CheckpointSection = field(default_factory=CheckpointSection)
    output: OutputSection = field(default_factory=OutputSection)
    metric: MetricSection = field(default_factory=MetricSection)
    profiling: ProfilingSection = field(default_factory=ProfilingSection)
    plugins: tuple[PluginChoice, ...] = ()

    @classmethod
    def from_settings(
        cls, settings: dict[str, Any], *, accelerator: str = "", scale: Scale = "stock"
    ) -> Workload:
        """Return the workload with the typed values of `settings` (by canonical path)."""
        sections = {name: kind(**_of_section(settings, name)) for name, kind in SECTIONS.items()}
        alone = {name: settings[name] for name in ("framework", "plugins") if name in settings}
        return cls(accelerator=accelerator, scale=scale, **alone, **sections)

    def settings(self) -> dict[str, Any]:
        """Return all values by canonical path, as plain JSON values."""
        values: dict[str, Any] = {
            "framework": self.framework,
            "plugins": [each.plain() for each in self.plugins],
        }
        for path, key in keys().items():
            if key.field:
                section = path.partition(".")[0]
                values[path] = plain(getattr(getattr(self, section), key.field))
        return values

    @property
    def name(self) -> str:
        """Model and accelerator, as in the names of stock workloads."""
        return f"{self.model.name}_{self.accelerator}" if self.accelerator else self.model.name

    @property
    def computation_time(self) -> Distribution:
        """The computation of one step, ``computation_time_stdev`` applied."""
        return self.train.computation_time.with_stdev(self.train.computation_time_stdev)

    @property
    def eval_time(self) -> Distribution:
        """The computation of one step of evaluation, ``eval_time_stdev`` applied."""
        return self.evaluation.eval_time.with_stdev(self.evaluation.eval_time_stdev)

    @property
    def au_threshold(self) -> float:
        """The accelerator utilization to reach, as a fraction; DLIO's files say 0.9 or 90."""
        return self.metric.au / 100 if self.metric.au > 1 else self.metric.au

    @property
    def total_samples(self) -> int:
        """The number of training samples in the data set."""
        return self.dataset.num_files_train * self.dataset.num_samples_per_file

    @property
    def plugin_names(self) -> list[str]:
        """The plugins that are called in the course of a run, ``checkpoint`` by either way."""
        names = [choice.name for choice in self.plugins]
        if self.workflow.checkpoint and CHECKPOINT not in names:
            names.append(CHECKPOINT)
        return names

    @property
    def writes_checkpoints_only(self) -> bool:
        """Whether there is neither a training nor a data set in it."""
        return self.checkpoints_without_training and not self.workflow.generate_data

    @property
    def checkpoints_without_training(self) -> bool:
        """Whether checkpoints are written and read for their own sake: DLIO's checkpoint-only."""
        return self.workflow.checkpoint and not self.workflow.train

    def steps_per_epoch(self, world_size: int = 1) -> int:
        """Return the steps that each rank takes in an epoch; a partial batch is dropped.

        Source: ``max_steps`` in dlio_benchmark's ``main.py``:
        floor(samples per file * files / batch / ranks), capped by ``total_training_steps``.
        """
        steps = self.total_samples // (self.reader.batch_size * world_size)
        limit = self.train.total_training_steps
        return steps if limit < 0 else min(steps, limit)

    def eval_steps(self, world_size: int = 1) -> int:
        """Return the steps that each rank takes in an evaluation; see `steps_per_epoch`."""
        samples = self.dataset.num_files_eval * self.dataset.num_samples_per_file
        return samples // (self.reader.batch_size_eval * world_size)

    def is_evaluated_after(self, epoch: int) -> bool:
        """Tell whether an evaluation follows epoch `epoch`, counted from 1.

        Source: ``main.py`` of dlio_benchmark: from ``eval_after_epoch`` on, every
        ``epochs_between_evals`` epochs; with 0 of them only once.
        """
        since, every = (
            epoch - self.evaluation.eval_after_epoch,
            self.evaluation.epochs_between_evals,
        )
        is_due = since == 0 or (since > 0 and every > 0 and since % every == 0)
        return self.workflow.evaluation and is_due

    def digest(self) -> str:
        """Return the digest of everything in this workload that is not a default.

        Keys that a later release adds therefore leave it as it is.
        """
        defaults = {path: plain(value) for path, value in default_settings().items()}
        told = {path: v for path, v in self.settings().items() if v != defaults[path]}
        return digest([self.accelerator, self.scale, told])


def _of_section(settings: dict[str, Any], section: str) -> dict[str, Any]:
    prefix, known = f"{section}.", keys()
    return {known[path].field: v for path, v in settings.items() if path.startswith(prefix)}


def plain(value: Any) -> Any:
    """Return a setting's value as JSON knows it."""
    if isinstance(value, Distribution):
        return value.to_plain()
    if isinstance(value, PluginChoice):
        return value.plain()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return dataclasses.asdict(value) if isinstance(value, ParquetColumn) else value


def default_settings() -> dict[str, Any]:
    """Return the default of every key, by canonical path."""
    return {path: key.default for path, key in keys().items()}
