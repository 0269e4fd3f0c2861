"""``cm4storage explore``: a page over many runs, ours and published ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.errors import UserError
from cm4storage.core.units import format_count
from cm4storage.report.console import printable
from cm4storage.report.explore.export import as_csv, as_json
from cm4storage.report.explore.page import FILE_NAME, write_page
from cm4storage.results.collecting.collect import collect

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console
    from cm4storage.results.collecting.model import Collection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR",
        help="a folder with results at any depth: of cm4storage, of DLIO, or a published tree",
    )  # fmt: skip
    parser.add_argument(
        "--page", type=Path, default=Path(FILE_NAME), metavar="FILE",
        help=f"where to write the page (default: {FILE_NAME})",
    )  # fmt: skip
    parser.add_argument(
        "--out", choices=("page", "json", "csv"), default="page",
        help="json, csv: print the runs in place of writing the page",
    )  # fmt: skip
    parser.add_argument("--json", action="store_const", dest="out", const="json")
    parser.add_argument("--csv", action="store_const", dest="out", const="csv")
    parser.add_argument(
        "--recompute", choices=("all", "summary"), default="all",
        help="summary: leave the files of the ranks alone, which can be gigabytes",
    )  # fmt: skip
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Read all runs, and show them in the way that was asked for."""
    collection = collect(args.folders, args.recompute, console.progress())
    if not collection.runs:
        found = "; ".join(collection.problems)
        raise UserError(
            "there are no runs",
            where=", ".join(map(str, args.folders)),
            meaning=found or "no folder below has a run.json, a summary.json or files of ranks",
            advice="name folders with results, such as results or a published submission",
        )
    if args.out == "page":
        write_page(collection, args.page, [str(folder) for folder in args.folders])
    for line in _remarks(collection):
        console.say(printable(line))
    printed = {"json": as_json, "csv": as_csv}.get(args.out)
    console.show(printable(printed(collection)) if printed else f"page {args.page}")
    page = None if printed else str(args.page.absolute())
    options.write_result(args, {"page": page, "runs": len(collection.runs)})
    return 0


def _remarks(collection: Collection) -> list[str]:
    """Return how many runs there are, and what is wrong with some."""
    unsound = [run for run in collection.runs if run.problems]
    differing = [run for run in collection.runs if run.recomputation.differing]
    lines = [format_count(len(collection.runs), "run")]
    if unsound:
        first = unsound[0]
        lines.append(f"partial or unreadable: {len(unsound)}, such as {first.name}")
        lines += [f"  {problem}" for problem in first.problems]
    if differing:
        first = differing[0]
        lines.append(f"figures differ from their inputs: {len(differing)}, such as {first.name}")
        lines += [f"  {reason}" for reason in first.recomputation.reasons[:3]]
    return [*lines, *(f"not read: {problem}" for problem in collection.problems)]
