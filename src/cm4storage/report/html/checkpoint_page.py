"""The page of a run of checkpoints: what is on it, and the file that it is written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.units import format_count
from cm4storage.report.html import checkpoint_verdict, surroundings
from cm4storage.report.html.checkpoint_lanes import timeline
from cm4storage.report.html.checkpoint_rows import MOST_ROWS, checkpoint_rows, rank_rows
from cm4storage.report.html.configuration import configuration_of
from cm4storage.report.html.page import save_page
from cm4storage.report.html.rendering import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.results.checkpoint_run_figures import CheckpointRunFigures


def write_checkpoint_page(figures: CheckpointRunFigures, folder: Path, rerun_command: str) -> Path:
    """Write ``report.html`` into `folder`, and return its path.

    Parameters
    ----------
    figures : CheckpointRunFigures
    folder : Path
    rerun_command : str
        The command that runs it again, without secrets.

    Raises
    ------
    StorageFault
        If it cannot be written.
    """
    return save_page(checkpoint_page(figures, rerun_command), folder)


def checkpoint_page(figures: CheckpointRunFigures, rerun_command: str) -> str:
    """Return the page as text; the same record gives the same text."""
    record = figures.record
    return rendered(
        "checkpoint_report.html.jinja",
        title=f"{figures.workload.name} checkpoints on {record.storage['backend']}",
        when=record.start.replace("T", " ").partition(".")[0],
        totals=_totals(figures),
        figures=figures,
        verdict=checkpoint_verdict.verdict_of(figures),
        plot=timeline(figures),
        checkpoints=checkpoint_rows(figures),
        ranks=rank_rows(figures),
        most_rows=MOST_ROWS,
        configuration=configuration_of(record.workload, figures.workload),
        warnings=checkpoint_verdict.warnings(figures),
        notes=record.workload["notes"],
        faults=[],
        facts=_facts(figures),
        sizes=_sizes(figures),
        command=record.environment["command"],
        rerun_command=rerun_command,
    )


def _totals(figures: CheckpointRunFigures) -> list[str]:
    done = [
        f"{format_count(len(each), 'checkpoint')} {checkpoint_verdict.VERBS[kind]}"
        for kind in checkpoint_verdict.KINDS
        if (each := figures.of(kind))
    ]
    return [format_count(figures.ranks, "rank"), *done]


def _sizes(figures: CheckpointRunFigures) -> dict[str, surroundings.Facts]:
    return {
        "A checkpoint": surroundings.checkpoint_facts(figures),
        "Ranks": surroundings.parallelism_facts(figures),
    }


def _facts(figures: CheckpointRunFigures) -> dict[str, surroundings.Facts]:
    environment = figures.record.environment
    return {
        "Machine": surroundings.host_facts(environment),
        "Software": surroundings.software_facts(environment),
        "Storage": surroundings.checkpoint_storage_facts(figures),
        "File system": surroundings.file_system_facts(environment),
        "Identity": surroundings.checkpoint_identity_facts(figures),
    }
