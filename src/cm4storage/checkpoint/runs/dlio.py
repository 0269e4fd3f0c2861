"""Checkpoints that were asked for on a command line of ``dlio_benchmark``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.checkpoint.models.parallelism import default_ranks
from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob, require_checkpoints
from cm4storage.loader.dlio_run import checkpoint_location
from cm4storage.results.checkpoint_files import write_checkpoint_statistics
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.workload.resolve import kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.core.progress import Progress
    from cm4storage.loader.dlio_run import DlioRun
    from cm4storage.results.checkpoint_run_figures import CheckpointRunFigures


def conduct_checkpoints(
    run: DlioRun, progress: Progress, say: Callable[[str], None]
) -> CheckpointRunFigures:
    """Write and read checkpoints, after a data set is generated where that is asked for, too.

    As many ranks run as the model wants: nobody says how many there are to be.

    Raises
    ------
    StorageBenchmarkError
        As `run_checkpoints`.
    """
    resolved = kept(run.explained)
    workload = resolved.workload
    require_checkpoints(resolved)
    run.prepare(progress, say)
    place = checkpoint_location(workload)
    job = CheckpointJob(resolved, place, default_ranks(workload), run.command)
    record = run_checkpoints(job, progress)
    computed = of_checkpoint_run(record)
    write_checkpoint_statistics(computed, run.output_dir, workload.output.log_file)
    if run.line.output_subdir is not None:
        record.save(run.run_dir / run.line.output_subdir)
    return computed
