"""``cm4storage report``: compute the figures of a run and write its reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.errors import redact_url
from cm4storage.report.table import render
from cm4storage.results import figures, records
from cm4storage.results.report_files import write_report_files
from cm4storage.results.summary import write_dlio_files

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("run_dir", type=Path, help="the folder that cm4storage run left")
    parser.add_argument(
        "--rerun_command", metavar="COMMAND", help="shown as the way to run it again"
    )
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Write report.json, report.csv and DLIO's files, and show the table."""
    run = figures.of_run(records.load(args.run_dir))
    report = write_report_files(run, args.run_dir)
    write_dlio_files(run, args.run_dir)
    command = redact_url(args.rerun_command or report["command"])
    console.show(render(report, str(args.run_dir), command))
    options.write_result(args, {"run_dir": str(args.run_dir), "au_met": report["au_met"]})
    return 0
