"""``cm4storage report``: compute the figures of a run and write its reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.cli import options
from cm4storage.core.errors import MissedThreshold, redact_url
from cm4storage.report.checkpoint_table import render_checkpoints
from cm4storage.report.html.checkpoint_page import write_checkpoint_page
from cm4storage.report.html.page import write_page
from cm4storage.report.table import render
from cm4storage.results import checkpoint_records, figures, records
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.report_files import write_report_files
from cm4storage.results.summary import write_dlio_files

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "run_dir", type=Path, help="the folder that cm4storage run or checkpoint left"
    )
    parser.add_argument(
        "--rerun_command", metavar="COMMAND", help="shown as the way to run it again"
    )
    parser.add_argument(
        "--strict_au", action="store_true",
        help="fail, with exit code 4, when the accelerator utilization misses its threshold",
    )  # fmt: skip
    options.add_output(parser, "the content of report.json")
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Write report.json, report.csv, report.html and DLIO's files, and show the table."""
    if checkpoint_records.is_in(args.run_dir):
        return _of_checkpoints(args, console)
    run = figures.of_run(records.load(args.run_dir))
    report = write_report_files(run, args.run_dir)
    write_dlio_files(run, args.run_dir)
    command = redact_url(args.rerun_command or report["command"])
    page = write_page(run, args.run_dir, command)
    table = render(report, str(args.run_dir), command, str(page))
    options.show_report(args, console, report, table)
    options.write_result(
        args,
        {"run_dir": str(args.run_dir), "report_html": str(page), "au_met": report["au_met"]},
    )
    if args.strict_au:
        require_threshold(report)
    return 0


def _of_checkpoints(args: argparse.Namespace, console: Console) -> int:
    """Do the same for a run of checkpoints."""
    run = of_checkpoint_run(checkpoint_records.load(args.run_dir))
    report = write_checkpoint_files(run, args.run_dir)
    command = redact_url(args.rerun_command or report["command"])
    page = write_checkpoint_page(run, args.run_dir, command)
    table = render_checkpoints(report, str(args.run_dir), command, str(page))
    options.show_report(args, console, report, table)
    options.write_result(args, {"run_dir": str(args.run_dir), "report_html": str(page)})
    return 0


def require_threshold(report: dict[str, Any]) -> None:
    """Fail where the accelerator utilization misses the workload's threshold.

    Raises
    ------
    MissedThreshold
    """
    if report["au_met"]:
        return
    mean = report["au_mean_percent"]
    reached = "was not measured" if mean is None else f"is {mean:.1f} %"
    raise MissedThreshold(
        f"the accelerator utilization {reached}; "
        f"the threshold is {report['au_threshold_percent']:.0f} %",
        where="metric.au, with --strict_au",
        meaning="the storage does not feed the emulated accelerators fast enough",
        advice="more reader.read_threads or reader.prefetch_size may help, or faster storage",
    )
