"""``cm4storage dlio``: a command line of ``dlio_benchmark``, run by this loader."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from cm4storage.checkpoint.choosing import plugins_of
from cm4storage.cli import options
from cm4storage.core.errors import UsageError, redact_url
from cm4storage.loader.dlio_run import DlioRun, checkpoint_location, hydra_config
from cm4storage.report.table import render
from cm4storage.results.report_files import build_report
from cm4storage.workload.entries import nested
from cm4storage.workload.explain import Explained, explain
from cm4storage.workload.hydra_line import HydraLine, parse_line
from cm4storage.workload.plugin_choice import CHECKPOINT
from cm4storage.workload.problems import require_none

if TYPE_CHECKING:
    import argparse

    from cm4storage.plugins.lifecycle import Plugin
    from cm4storage.report.console import Console
    from cm4storage.workload.model import Workload

_CONFIG_NAME = "config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that Hydra gives to dlio_benchmark."""
    parser.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE",
        help="workload=NAME, ++workload.SECTION.KEY=VALUE, ++hydra.run.dir=FOLDER",
    )  # fmt: skip
    parser.add_argument(
        "--config-dir", "-cd", type=Path, metavar="FOLDER", dest="config_dir",
        help="a folder with workload/NAME.yaml, looked at before the stock workloads",
    )  # fmt: skip
    parser.add_argument("--config-name", "-cn", default=_CONFIG_NAME, help=f"{_CONFIG_NAME} alone")
    parser.add_argument(
        "--cfg", "-c", choices=("job", "hydra", "all"),
        help="print the configuration and exit",
    )  # fmt: skip
    parser.add_argument(
        "--resolve", action="store_true", help="with --cfg: replace the interpolations"
    )
    parser.add_argument("--run", "-r", action="store_true", help="the default")
    parser.add_argument("--multirun", "-m", action="store_true", help="refused")


def execute(args: argparse.Namespace, console: Console) -> int:
    """Do what the workload says, and leave the files that DLIO leaves."""
    if args.multirun or args.config_name.removesuffix(".yaml") != _CONFIG_NAME:
        raise UsageError(
            "several runs by one command, and other main configurations, are not supported",
            advice="call the command once for each run, with --config-dir and workload=NAME",
        )
    line = parse_line(args.overrides, args.config_dir)
    explained = explain(line.request())
    require_none(list(explained.problems))
    run_dir = line.run_dir(explained)
    if args.cfg:
        console.show(_config(line, explained, run_dir, args))
        return 0
    for note in explained.notes:
        console.say(f"note: {note}")
    command = redact_url(shlex.join([*options.own_command(1), *line.shown()]))
    if explained.workload.checkpoints_without_training:
        return _write_checkpoints(DlioRun(line, explained, run_dir, command), console)
    run = DlioRun(line, explained, run_dir, command, _plugins(explained.workload))
    computed = run.conduct(console.progress(), console.say)
    if computed is not None:
        console.show(render(build_report(computed), str(run.output_dir), command))
    else:
        console.say(f"results {run.output_dir}")
    return 0


def _write_checkpoints(run: DlioRun, console: Console) -> int:
    # Not above: a training would begin later for it.
    from cm4storage.checkpoint.runs.dlio import conduct_checkpoints
    from cm4storage.report.checkpoint_table import render_checkpoints
    from cm4storage.results import checkpoint_report

    computed = conduct_checkpoints(run, console.progress(), console.say)
    report = checkpoint_report.build_report(computed)
    console.show(render_checkpoints(report, str(run.output_dir), run.command))
    return 0


def _plugins(workload: Workload) -> dict[str, Plugin]:
    place = checkpoint_location(workload) if CHECKPOINT in workload.plugin_names else None
    return plugins_of(workload, location=place)


def _config(line: HydraLine, explained: Explained, run_dir: Path, args: argparse.Namespace) -> str:
    job = {"workload": explained.as_written()}
    if args.resolve:
        given = {path: v for path, v in _plain(explained).items() if path in explained.origins}
        job = {"workload": nested(given)}
    hydra = hydra_config(line, run_dir)
    shown = {"job": job, "hydra": hydra, "all": hydra | job}[args.cfg]
    return yaml.safe_dump(shown, sort_keys=False).rstrip("\n")


def _plain(explained: Explained) -> dict[str, object]:
    return explained.workload.settings()
