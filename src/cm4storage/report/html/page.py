"""The whole page: what is on it, and the file that it is written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.files import write_text_atomically
from cm4storage.core.units import format_count
from cm4storage.report.html import (
    checkpoints,
    epochs,
    latencies,
    surroundings,
    timeline,
    verdict,
)
from cm4storage.report.html.configuration import configuration_of
from cm4storage.report.html.rendering import rendered
from cm4storage.report.html.steps import grouped, steps_of
from cm4storage.results.metrics import FORMULA_VARIANT

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.report.html.plots import Plot
    from cm4storage.report.html.steps import Groups
    from cm4storage.results.figures import RunFigures

FILE_NAME = "report.html"


def write_page(figures: RunFigures, folder: Path, rerun_command: str) -> Path:
    """Write ``report.html`` into `folder`, and return its path.

    Parameters
    ----------
    figures : RunFigures
    folder : Path
    rerun_command : str
        The command that runs it again, without secrets.

    Raises
    ------
    StorageFault
        If it cannot be written.
    """
    return save_page(page(figures, rerun_command), folder)


def save_page(text: str, folder: Path) -> Path:
    """Write the text of a page to ``report.html`` in `folder`, and return its path."""
    path = folder / FILE_NAME
    # Names of files may have bytes that are no text; they are shown as such.
    write_text_atomically(path, text, errors="backslashreplace")
    return path


def page(figures: RunFigures, rerun_command: str) -> str:
    """Return the page as text; the same record gives the same text."""
    groups = grouped(steps_of(figures.record))
    stages = latencies.stages(figures.record)
    rows = checkpoints.rows(figures)
    return rendered(
        "report.html.jinja",
        title=f"{figures.workload.name} on {figures.record.data_set['backend']}",
        when=figures.record.start.replace("T", " ").partition(".")[0],
        figures=figures,
        formula=FORMULA_VARIANT,
        verdict=verdict.verdict_of(figures),
        totals=_totals(figures),
        plots=_plots(figures, groups),
        stages=stages,
        training=epochs.training_rows(figures),
        evaluations=epochs.evaluation_rows(figures),
        checkpoints=rows,
        checkpoint_plot=_checkpoint_plot(figures, groups, rows),
        most_rows=epochs.MOST_ROWS,
        configuration=configuration_of(figures.record.workload, figures.workload),
        warnings=verdict.warnings(figures),
        notes=figures.record.workload["notes"],
        faults=figures.record.faults,
        facts=_facts(figures),
        command=figures.record.environment["command"],
        rerun_command=rerun_command,
    )


def _plots(figures: RunFigures, groups: Groups) -> dict[str, Plot]:
    """Return the plots over time; none where no step was made."""
    if not groups.steps.count:
        return {}
    plots = (
        timeline.throughput(figures, groups),
        timeline.shares(figures, groups),
        timeline.durations(groups),
    )
    return {plot.name: plot for plot in plots}


def _checkpoint_plot(
    figures: RunFigures, groups: Groups, rows: list[checkpoints.Row]
) -> Plot | None:
    return checkpoints.timeline(rows, timeline.run_time(figures, groups)) if rows else None


def _totals(figures: RunFigures) -> dict[str, Any]:
    record = figures.record
    return {
        "samples": sum(epoch.samples for epoch in record.epochs),
        "bytes": sum(epoch.bytes_read for epoch in record.epochs),
        "duration_s": sum(epoch.duration_s for epoch in record.epochs),
        "steps": format_count(sum(len(epoch.compute_s) for epoch in record.epochs), "step"),
        "epochs": format_count(len(record.epochs), "epoch"),
    }


def _facts(figures: RunFigures) -> dict[str, surroundings.Facts]:
    return {
        "Machine": surroundings.host_facts(figures.record.environment),
        "Software": surroundings.software_facts(figures.record.environment),
        "Data": surroundings.data_facts(figures),
        "File system": surroundings.file_system_facts(figures.record.environment),
        "Identity": surroundings.identity_facts(figures),
        "Time in plugins": surroundings.plugin_facts(figures),
    }
