"""``cm4storage sweep``: run a workload at many points, and lay the results side by side."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.cli import options
from cm4storage.core.canonical import digest
from cm4storage.core.errors import redact_url, redact_words
from cm4storage.core.units import format_count
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.report.listing import table
from cm4storage.sweep import axes as sweep_axes
from cm4storage.sweep.outcome import Results, cells, headings
from cm4storage.sweep.page import render_page
from cm4storage.sweep.plan import Pool, Setup, points_of
from cm4storage.sweep.running import run_points

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console
    from cm4storage.sweep.plan import Point


RESULTS = "sweep.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "--sweep", action="append", required=True, metavar='"KEY=V1 V2 ..."',
        help="a key of the workload and its values; several keys make all combinations",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=options.positive, default=1, metavar="N",
        help="run each point N times, for the spread (default: 1)",
    )  # fmt: skip
    parser.add_argument("--model", default="", metavar="MODEL|NAME", help="stock model or workload")
    parser.add_argument("--accelerator", default="", help="its accelerator")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a DLIO YAML instead")
    options.add_overrides(parser)
    options.add_storage(parser)
    parser.add_argument(
        "--results_dir", type=Path, default=Path("results"), metavar="FOLDER",
        help="results go to FOLDER/sweep/<model>/ (default: results)",
    )  # fmt: skip
    options.add_limits(parser)
    parser.add_argument("--dry_run", action="store_true", help="list the points, and run none")
    parser.add_argument(
        "--rerun_command", metavar="COMMAND", help="shown as the way to run it again"
    )
    options.add_result_file(parser)
    options.add_output(parser, "the content of sweep.json, or of a dry run the points,")


def execute(args: argparse.Namespace, console: Console) -> int:
    """Run the points that are not finished, and show all that are."""
    setup = _setup(args)
    points = points_of(setup, sweep_axes.parse(args.sweep), args.repeat)
    folder = args.results_dir.absolute() / "sweep" / points[0].resolved.workload.model.name
    pool = Pool(folder / "points")
    if args.dry_run:
        options.show_report(args, console, _points_as_json(points, pool), _listed(points, pool))
        return 0
    own = folder / digest([point.key for point in points])[:12]
    try:
        run_points(points, setup, pool, console.progress, console.say)
    finally:
        results = _keep(points, pool, own, setup.command)
    shown = table(headings(results.keys), [cells(row) for row in results.rows()])
    places = f"results   {own}\nrun again {setup.command}"
    document = json.loads((own / RESULTS).read_text(encoding="utf-8"))
    options.show_report(args, console, {"sweep_dir": str(own), **document}, f"{shown}\n\n{places}")
    options.write_result(args, {"sweep_dir": str(own)})
    return 0


def _points_as_json(points: list[Point], pool: Pool) -> dict[str, Any]:
    """Return all points, and whether they are finished."""
    told = [
        {"values": p.values, "repeat": p.repeat, "key": p.key, "is_finished": pool.has(p)}
        for p in points
    ]
    return {"points": told}


def _setup(args: argparse.Namespace) -> Setup:
    own = shlex.join(redact_words(options.own_command()))
    return Setup(
        request=options.request(args, model=args.model, config=args.config),
        place=options.location(args),
        limits=Limits(args.max_epochs, args.max_steps),
        conduct=Conduct(is_cold=args.cold, readers=args.readers),
        command=redact_url(args.rerun_command or own),
    )


def _listed(points: list[Point], pool: Pool) -> str:
    """Return all points, and which are finished."""
    rows = [
        (*point.values.values(), str(point.repeat), "finished" if pool.has(point) else "to run")
        for point in points
    ]
    to_run = sum(not pool.has(point) for point in points)
    total = f"{format_count(len(points), 'point')}, {to_run} to run"
    return f"{table((*points[0].values, 'run', 'state'), rows)}\n\n{total}"


def _keep(points: list[Point], pool: Pool, folder: Path, command: str) -> Results:
    """Write what is finished, also where the sweep was stopped; return it."""
    results = Results.of(points, pool)
    if results.finished:
        title = f"{points[0].resolved.workload.name}: sweep of {', '.join(results.keys)}"
        results.write(folder, render_page(results, title, command, len(points)))
    return results
