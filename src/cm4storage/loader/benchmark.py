"""One benchmark run from its job to the folder that holds its record."""

from __future__ import annotations

import io
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cm4storage.core.memory import peak_memory_bytes
from cm4storage.core.records import asdict, dataclass, field
from cm4storage.dataset.opening import open_dataset
from cm4storage.loader.limits import Conduct
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.results_folder import publish, unfinished_folder
from cm4storage.loader.running import Outcome, Trainer
from cm4storage.loader.sampling import Sampler, sampled
from cm4storage.plugins.lifecycle import Lifecycle, RunContext
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.results.records import CheckpointRecord, RunRecord
from cm4storage.results.time_series import FILE_NAME
from cm4storage.storage.opening import client_of
from cm4storage.workload.rules import require_training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TextIO

    from cm4storage.core.progress import Progress
    from cm4storage.dataset.opening import Opener, ReadableDataset
    from cm4storage.loader.file_reader import ReadCounters
    from cm4storage.loader.limits import Limits
    from cm4storage.loader.order import EpochOrder
    from cm4storage.plugins.lifecycle import Plugin
    from cm4storage.results.histogram import Histogram
    from cm4storage.storage.location import StoreLocation
    from cm4storage.workload.model import Workload
    from cm4storage.workload.resolved import Resolved


@dataclass(frozen=True)
class Job:
    """Everything that one run needs.

    Attributes
    ----------
    resolved : Resolved
        The workload.
    data_root : StoreLocation
        Where data sets are kept.
    limits : Limits
    conduct : Conduct
    plugins : Plugins
        Parts in place of ours.
    lifecycle : mapping
        Plugins that are called in the course of the run, by their names.
    command : str
        How the run was started, without secrets; recorded.
    open_data : callable
        Opens the data set; `open_dataset`, or `open_foreign` for one that others made.
    """

    resolved: Resolved
    data_root: StoreLocation
    limits: Limits
    command: str
    conduct: Conduct = field(default_factory=Conduct)
    plugins: Plugins = field(default_factory=Plugins)
    lifecycle: Mapping[str, Plugin] = field(default_factory=dict)
    open_data: Opener = open_dataset


@dataclass(frozen=True)
class Run:
    """What one run gives: its record, and the order of each epoch by its number.

    Attributes
    ----------
    time_series : str
        The content of ``time_series.csv``, where no stream was given for it.
    """

    record: RunRecord
    order: Callable[[int], EpochOrder]
    time_series: str = ""


@dataclass(frozen=True)
class Finished:
    """A run and the folder that its record is in."""

    run: Run
    folder: Path


def run_benchmark(job: Job, progress: Progress, series: TextIO | None = None) -> Run:
    """Run `job`.

    Parameters
    ----------
    series : TextIO, optional
        Where the time series goes while the run goes on.

    Raises
    ------
    UserError
        If the data set does not exist.
    StorageFault
        If the data set cannot be read or is damaged.
    """
    workload = job.resolved.workload
    require_training(workload, job.resolved.source)
    require_readers(job)
    start = datetime.now().astimezone()
    ranks, lifecycle = SingleProcess(), Lifecycle(job.lifecycle)
    context = RunContext(workload, ranks, job.data_root, run_id_of(workload, start))
    with job.open_data(workload, job.data_root) as dataset:
        trainer = Trainer(
            workload, dataset.store, ranks, progress, job.conduct, job.plugins, lifecycle
        )
        sampler = Sampler(trainer, workload.output.exclude_start_steps)
        rows = io.StringIO()
        with lifecycle.running(context), sampled(sampler, progress, series or rows):
            outcome = trainer.run(job.limits)
    record = _record(job, dataset, outcome, lifecycle, start)
    return Run(record, outcome.order, rows.getvalue())


def require_readers(job: Job) -> None:
    """Refuse readers that cannot do what the job asks for.

    Raises
    ------
    UserError
    """
    if job.conduct.readers == "processes":
        from cm4storage.loader.processes import limits

        limits.require_readable(job.data_root)
        workload = job.resolved.workload
        limits.require_possible(workload, job.plugins.completed(workload))


def run_id_of(workload: Workload, start: datetime) -> str:
    """Return a name that no other run has: model, second of the start, and some digits."""
    return f"{workload.model.name}-{start:%Y%m%d_%H%M%S}-{os.urandom(3).hex()}"


def run_and_save(job: Job, results_dir: Path, progress: Progress) -> Finished:
    """Run `job` and leave its record in a new folder, complete or not at all.

    Raises
    ------
    UserError, StorageFault
        As `run_benchmark`; the latter also if the results cannot be written.
    """
    parent = results_dir / "training" / job.resolved.workload.model.name / "run"
    with unfinished_folder(parent) as unfinished:
        start = datetime.now().astimezone()
        with (unfinished / FILE_NAME).open("w", encoding="ascii") as series:
            run = run_benchmark(job, progress, series)
        run.record.save(unfinished)
        if job.conduct.records_order:
            save_order(run, job.resolved.workload, unfinished)
        return Finished(run, publish(unfinished, start))


def save_order(run: Run, workload: Workload, folder: Path) -> None:
    """Write the samples of each epoch in their order, one a line, to ``order/epoch_N.txt``.

    A sample is file number * samples per file + its number in the file.
    """
    target = folder / "order"
    target.mkdir(exist_ok=True)
    for epoch in run.record.epochs:
        wanted = len(epoch.compute_s) * workload.reader.batch_size
        ids = run.order(epoch.number).ids(wanted)
        with (target / f"epoch_{epoch.number}.txt").open("w", encoding="ascii") as stream:
            stream.writelines(f"{number}\n" for number in ids)


def _record(
    job: Job, dataset: ReadableDataset, outcome: Outcome, lifecycle: Lifecycle, start: datetime
) -> RunRecord:
    end = datetime.now().astimezone()
    return RunRecord(
        start=start.replace(tzinfo=None).isoformat(timespec="microseconds"),
        end=end.replace(tzinfo=None).isoformat(timespec="microseconds"),
        workload=job.resolved.to_document(),
        data_set={
            "uri": dataset.store.uri,
            "backend": job.data_root.scheme,
            "server": "embedded" if job.data_root.server_dir else "",
            "client": client_of(job.data_root),
            "manifest": dataset.describe(),
        },
        order={
            "digest": outcome.order_digest,
            "first_sample_ids": outcome.first_sample_ids,
        },
        environment=_environment(job),
        limits=asdict(job.limits),
        epochs=outcome.epochs,
        stages=_stages(outcome.counters),
        evaluations=outcome.evaluations,
        conduct=asdict(job.conduct) | {"own_parts": job.plugins.given()} | _plugins(job),
        faults=outcome.counters.faults,
        retries=dataset.store.retries,
        checkpoints=[
            each for each in lifecycle.gathered("checkpoints") if isinstance(each, CheckpointRecord)
        ],
        plugins=lifecycle.spent_s,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _environment(job: Job) -> dict[str, Any]:
    """Return what the run ran on and how it was started."""
    # Imported here, and asked after the run: it costs time that the first step would wait.
    from cm4storage.results import environment

    return environment.of_run(job.command, job.data_root.local_folder)


def _plugins(job: Job) -> dict[str, Any]:
    """Return what is recorded of the plugins that are called in the course of a run."""
    known = job.resolved.workload.plugin_names
    changed = {n: getattr(p, "changed_options", []) for n, p in job.lifecycle.items() if n in known}
    return {
        "added_plugins": [name for name in job.lifecycle if name not in known],
        "plugin_options": {n: _options(p) for n, p in job.lifecycle.items()},
        "changed_options": {name: options for name, options in changed.items() if options},
    }


def _options(plugin: Plugin) -> dict[str, Any]:
    """Return the options of a plugin as JSON can have them; others may mean anything by it."""
    options = getattr(plugin, "options", None)
    if not isinstance(options, dict):
        return {}
    plain: dict[str, Any] = json.loads(json.dumps(options, default=str, skipkeys=True))
    return plain


def _stages(counters: ReadCounters) -> dict[str, Histogram]:
    """Return the histograms of the stages that happened."""
    stages = {"io": counters.io, "decode": counters.decode, "preprocess": counters.preprocess}
    return {name: stage for name, stage in stages.items() if stage.count}
