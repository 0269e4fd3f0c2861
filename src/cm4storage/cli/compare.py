"""``cm4storage compare``: judge new runs by a baseline, metric by metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.errors import ExitCode
from cm4storage.report import comparison as shown
from cm4storage.results.comparing import rules as tolerances
from cm4storage.results.comparing.comparison import Outcome, compare
from cm4storage.results.comparing.context import backend_of
from cm4storage.results.comparing.reports import load_all

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console
    from cm4storage.results.comparing.comparison import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "baseline", type=Path, nargs="+", metavar="BASELINE",
        help="the folder of a run, a folder with repeated runs, a report.json, or a golden",
    )  # fmt: skip
    parser.add_argument("new", type=Path, metavar="NEW", help="the same, for what is judged")
    parser.add_argument(
        "--tolerance", type=Path, default=tolerances.DEFAULT_FILE, metavar="FILE",
        help="the rules, as JSON (default: those of the package)",
    )  # fmt: skip
    parser.add_argument(
        "--mode", default=tolerances.DEFAULT_MODE,
        help="standard, strict, relaxed or development, or another mode of the rules",
    )  # fmt: skip
    parser.add_argument(
        "--across", default="", metavar="ASPECT,...",
        help=f"compare figures although these differ: {', '.join(tolerances.ASPECTS)}",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true",
        help="exit code 5 where anything cannot be told, not only where nothing can",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--out", choices=("text", "markdown", "json"), default="text",
        help="markdown: a table for a pull request; json: the outcome to standard output, all else "
        "to standard error",
    )  # fmt: skip
    for name in ("markdown", "json"):
        form.add_argument(
            f"--{name}", action="store_const", dest="out", const=name, help=f"as --out={name}"
        )
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Compare, show the verdicts, and say by the exit code whether anything is worse."""
    across = options.choices("--across", args.across, tolerances.ASPECTS)
    baseline, new = load_all(args.baseline), load_all([args.new])
    rules = tolerances.load(args.tolerance).chosen(args.mode, backend_of(baseline))
    comparison = compare(baseline, new, rules, across)
    document = shown.as_json(comparison)
    draw = shown.render_markdown if args.out == "markdown" else shown.render
    options.show_report(args, console, document, draw(comparison))
    options.write_result(args, document)  # last: where it fails, the verdict is not lost
    return int(exit_code(comparison, strict=args.strict))


def exit_code(comparison: Comparison, *, strict: bool) -> ExitCode:
    """Return 4 where anything is worse, 5 where nothing can be told, else 0."""
    if comparison.is_worse:
        return ExitCode.MISSED
    unsure = comparison.count(Outcome.CANNOT_TELL) > 0 if strict else comparison.is_undecided
    return ExitCode.UNDECIDED if unsure else ExitCode.OK
