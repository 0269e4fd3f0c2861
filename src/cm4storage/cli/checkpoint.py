"""``cm4storage checkpoint``: write and read the checkpoints of a model, and do nothing else."""

from __future__ import annotations

import dataclasses
import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.checkpoint.models.layout import Layout
from cm4storage.checkpoint.models.needs import checkpoint_needs
from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob, require_checkpoints
from cm4storage.cli import options
from cm4storage.core.errors import redact_url, redact_words
from cm4storage.loader.results_folder import publish, unfinished_folder
from cm4storage.report.checkpoint_table import plan_title, render_checkpoints, render_plan
from cm4storage.report.html.checkpoint_page import write_checkpoint_page
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.workload.resolved import load

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console
    from cm4storage.workload.model import Workload
    from cm4storage.workload.resolved import Resolved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_workload(parser)
    parser.add_argument(
        "--checkpoint_dir", metavar="PATH|URI", dest="data_dir",
        help="where checkpoints are kept: a folder, directio:///folder, s3://bucket/prefix or "
        "az://container/prefix (default: checkpoint.checkpoint_folder of the workload)",
    )  # fmt: skip
    options.add_service(parser)
    parser.add_argument(
        "--ranks", type=options.positive, metavar="N",
        help="how many processes share the model (default: what the CLOSED division of MLPerf "
        "Storage prescribes, in subset mode 8, at quick scale 4)",
    )  # fmt: skip
    parser.add_argument(
        "--plan", action="store_true", help="show what each rank would write, and write nothing"
    )
    parser.add_argument(
        "--results_dir", type=Path, default=Path("results"), metavar="FOLDER",
        help="results go to FOLDER/checkpointing/<model>/<time>/ (default: results)",
    )  # fmt: skip
    parser.add_argument(
        "--rerun_command", metavar="COMMAND", help="shown as the way to run it again"
    )
    options.add_output(parser, "the content of report.json, or of the plan,")
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Write and read, and leave the record, the report and DLIO's files in a new folder."""
    resolved = load(args.workload)
    require_checkpoints(resolved)
    layout = Layout(resolved.workload, args.ranks)
    if args.plan:
        plan = _plan(resolved.workload, layout)
        table = render_plan(layout, plan_title(resolved.workload.name, layout))
        options.show_report(args, console, plan, table)
        options.write_result(args, plan)
        return 0
    job = _job(args, resolved, layout.ranks)
    parent = args.results_dir.absolute() / "checkpointing" / resolved.workload.model.name
    with unfinished_folder(parent) as unfinished:
        start = datetime.now().astimezone()
        record = run_checkpoints(job, console.progress())
        record.save(unfinished)
        figures = of_checkpoint_run(record)
        report = write_checkpoint_files(figures, unfinished)
        command = redact_url(args.rerun_command or job.command)
        page = write_checkpoint_page(figures, unfinished, command).name
        folder = publish(unfinished, start)
    options.say_retries(console, record.storage["retries"])
    table = render_checkpoints(report, str(folder), command, str(folder / page))
    options.show_report(args, console, report, table)
    options.write_result(args, {"run_dir": str(folder), "report_html": str(folder / page)})
    return 0


def _job(args: argparse.Namespace, resolved: Resolved, ranks: int) -> CheckpointJob:
    if args.data_dir is None:
        args.data_dir = resolved.workload.checkpoint.checkpoint_folder
    command = shlex.join(redact_words(options.own_command()))
    return CheckpointJob(resolved, options.location(args), ranks, command)


def _plan(workload: Workload, layout: Layout) -> dict[str, Any]:
    return {
        "needs": dataclasses.asdict(checkpoint_needs(workload, layout.ranks)),
        "ranks": [
            {**dataclasses.asdict(size), "total_bytes": size.total_bytes}
            for size in map(layout.size_of, range(layout.ranks))
        ],
    }
