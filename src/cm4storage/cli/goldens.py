"""``cm4storage goldens``: check today's code against reference reports, or write them anew."""

from __future__ import annotations

import difflib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage import api
from cm4storage.checkpoint.models.parallelism import default_ranks
from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.cli import options
from cm4storage.core.errors import ExitCode, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.report.comparison import as_json, render
from cm4storage.results.checkpoint_report import build_report
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.comparing import rules as tolerances
from cm4storage.results.comparing.comparison import compare
from cm4storage.results.comparing.context import backend_of
from cm4storage.results.comparing.goldens import CHECKPOINTS, TRAINING, load_golden
from cm4storage.results.comparing.reports import as_read
from cm4storage.storage.location import StoreLocation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from cm4storage.report.console import Console
    from cm4storage.results.comparing.goldens import Golden
    from cm4storage.results.comparing.rules import Rules
    from cm4storage.workload.model import Scale
    from cm4storage.workload.resolved import Resolved

FOLDER = Path("docs") / "goldens"
WRITTEN_RUNS = 5
CHECKED_RUNS = 3
"""So many runs of the code of today have a spread, by which noise is told from a change."""
DEFAULT_MODE = "development"
"""What decides nothing by time: on a machine with other work every figure of time is red."""
SCHEMA = "cm4storage.goldens"
VERSION = 1
TOLERANCE = "tolerance.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="run each, and compare")
    what.add_argument("--write", action="store_true", help="run each, and write what is new")
    parser.add_argument(
        "--goldens_dir", type=Path, default=FOLDER, metavar="FOLDER",
        help=f"where they are, with rules of their own in {TOLERANCE} or none (default: {FOLDER})",
    )  # fmt: skip
    parser.add_argument(
        "--only", default="", metavar="NAME,...", help="these, by their names without .json"
    )
    parser.add_argument(
        "--mode",
        help="a mode of the rules (default: development, which leaves figures of time out); "
        "standard compares them, where the machine is that of the golden and has nothing to do",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=options.positive, metavar="N",
        help=f"run each N times (default: for --check 1, or {CHECKED_RUNS} where the mode has "
        f"figures of time; {WRITTEN_RUNS} for --write)",
    )  # fmt: skip
    parser.add_argument(
        "--renew", action="store_true",
        help="with --write: also where nothing but figures of time has changed",
    )  # fmt: skip
    parser.add_argument(
        "--data_dir", type=Path, metavar="FOLDER",
        help="where data sets are kept (default: a temporary folder)",
    )  # fmt: skip
    options.add_output(parser, "what was found or written of each")


def execute(args: argparse.Namespace, console: Console) -> int:
    """Run what each golden asks for; check it, or write it down and show what has changed."""
    goldens = {path: load_golden(path) for path in _files(args.goldens_dir, args.only)}
    own_rules = args.goldens_dir / TOLERANCE
    rules = tolerances.load(own_rules if own_rules.exists() else tolerances.DEFAULT_FILE)
    mode = args.mode or (DEFAULT_MODE if DEFAULT_MODE in rules.modes else tolerances.DEFAULT_MODE)
    runs = args.repeat or _runs(args, rules.chosen(mode, ""))
    found = []
    for path, golden in goldens.items():
        reports = _answer(golden, path, args.data_dir, runs, console)
        if args.write:
            new = golden.answered(reports, rules, str(path))
            document, text = _write(path, golden, new, renews=args.renew)
        else:
            document, text = _check(path, golden, reports, rules.chosen(mode, backend_of(reports)))
        found.append({"name": path.stem, **document})
        (console.say if args.out == "json" else console.show)(text)
    if args.check and rules.modes[mode] is None:
        console.say(f"figures of time are left out; --mode={tolerances.DEFAULT_MODE} compares them")
    if args.out == "json":
        options.show_json(console, {"schema": SCHEMA, "version": VERSION, "goldens": found})
    return int(ExitCode.OK if all(each.get("green", True) for each in found) else ExitCode.MISSED)


def _runs(args: argparse.Namespace, chosen: Rules) -> int:
    """Return how often each is run, where the user does not say."""
    if args.write:
        return WRITTEN_RUNS
    return CHECKED_RUNS if chosen.figures else 1


def _files(folder: Path, only: str) -> list[Path]:
    """Return the files of the goldens in `folder`, or of those that the user names."""
    found = sorted(path for path in folder.glob("*.json") if path.name != TOLERANCE)
    if not found:
        raise UserError(
            "there are no goldens",
            where=str(folder),
            advice="call it in the checkout, or name their folder with --goldens_dir",
        )
    names = options.choices("--only", only, [path.stem for path in found])
    return [path for path in found if not names or path.stem in names]


def _answer(
    golden: Golden, path: Path, data_dir: Path | None, runs: int, console: Console
) -> list[dict[str, Any]]:
    """Return today's reports of what the golden asks for."""
    run = _RUNNERS.get(golden.kind)
    if run is None:
        raise UserError(
            f"there is no kind {golden.kind}",
            where=str(path),
            advice=f"known kinds: {', '.join(_RUNNERS)}",
        )
    params = f", {golden.params}" if golden.params else ""
    console.say(f"{path.stem}: {golden.workload} at {golden.scale} scale{params}")
    with tempfile.TemporaryDirectory(prefix="cm4storage-golden-") as folder:
        return [_of_a_run(run(golden, data_dir or Path(folder))) for _ in range(runs)]


def _of_a_run(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report without its peak memory: all runs share this process, and its peak."""
    return as_read(report) | ({"peak_memory_bytes": None} if "peak_memory_bytes" in report else {})


def _resolved(golden: Golden) -> Resolved:
    scale: Scale = "quick" if golden.scale == "quick" else "stock"
    return api.load_workload(golden.workload, golden.params, scale=scale)


def _train(golden: Golden, data_dir: Path) -> dict[str, Any]:
    return api.run(_resolved(golden), data_dir=data_dir).to_json()


def _write_and_read(golden: Golden, data_dir: Path) -> dict[str, Any]:
    resolved = _resolved(golden)
    place = StoreLocation.parse(str(data_dir / "checkpoints" / golden.workload))
    job = CheckpointJob(resolved, place, default_ranks(resolved.workload), command="")
    return build_report(of_checkpoint_run(run_checkpoints(job, NoProgress())))


_RUNNERS: Mapping[str, Callable[[Golden, Path], dict[str, Any]]] = {
    TRAINING: _train,
    CHECKPOINTS: _write_and_read,
}
"""By kind, what gives the report of one run; data go into the folder."""


def _check(
    path: Path, golden: Golden, reports: list[dict[str, Any]], rules: Rules
) -> tuple[dict[str, Any], str]:
    """Return what was found of a golden, for programs and in words."""
    if golden.report is None:
        raise UserError(
            "the golden has no report yet",
            where=str(path),
            advice=f"cm4storage goldens --write --only={path.stem}",
        )
    comparison = compare(golden.as_reports(), reports, rules)
    lost = [f"worse: the report has no {name} any more" for name in golden.lost_fields(reports[0])]
    if "workload" in comparison.differences:
        lost.append(
            "worse: the same request makes another workload, so that nothing can be judged; "
            f"if that is meant: cm4storage goldens --write --only={path.stem}"
        )
    green = not (comparison.is_worse or comparison.lost or lost)
    document = {"green": green, "comparison": as_json(comparison), "worse_beside": lost}
    return document, "\n".join([path.stem, render(comparison), *lost, ""])


def _write(path: Path, golden: Golden, new: Golden, *, renews: bool) -> tuple[dict[str, Any], str]:
    """Write the golden if anything but times has changed; return the difference."""
    if not renews and golden.timeless_text() == new.timeless_text():
        return {"difference": ""}, f"{path.stem}: unchanged"
    before, after = golden.text(), new.text()
    new.save(path)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"old/{path.name}", f"new/{path.name}", lineterm=""
    )
    difference = "\n".join(lines)
    return {"difference": difference}, difference or f"{path.stem}: unchanged"
