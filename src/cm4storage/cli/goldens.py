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
from cm4storage.report.comparison import render
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
    from cm4storage.results.comparing.comparison import Comparison
    from cm4storage.results.comparing.goldens import Golden
    from cm4storage.results.comparing.rules import Rules
    from cm4storage.workload.model import Scale
    from cm4storage.workload.resolved import Resolved

FOLDER = Path("docs") / "goldens"
WRITTEN_RUNS = 5
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
        "--mode", default=tolerances.DEFAULT_MODE,
        help="a mode of the rules (default: standard); development leaves figures of time out",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=options.positive, metavar="N",
        help=f"run each N times (default: 1 for --check, {WRITTEN_RUNS} for --write)",
    )  # fmt: skip
    parser.add_argument(
        "--renew", action="store_true",
        help="with --write: also where nothing but figures of time has changed",
    )  # fmt: skip
    parser.add_argument(
        "--data_dir", type=Path, metavar="FOLDER",
        help="where data sets are kept (default: a temporary folder)",
    )  # fmt: skip


def execute(args: argparse.Namespace, console: Console) -> int:
    """Run what each golden asks for; check it, or write it down and show what has changed."""
    goldens = {path: load_golden(path) for path in _files(args.goldens_dir, args.only)}
    own_rules = args.goldens_dir / TOLERANCE
    rules = tolerances.load(own_rules if own_rules.exists() else tolerances.DEFAULT_FILE)
    runs = args.repeat or (WRITTEN_RUNS if args.write else 1)
    found = []
    for path, golden in goldens.items():
        reports = _answer(golden, path, args.data_dir, runs, console)
        if args.write:
            text = _write(path, golden, golden.answered(reports, rules), renews=args.renew)
        else:
            chosen = rules.chosen(args.mode, backend_of(reports))
            comparison, lost = _check(path, golden, reports, chosen)
            text = "\n".join([path.stem, render(comparison), *lost, ""])
            found.append(comparison.is_worse or bool(lost))
        console.show(text)
    return int(ExitCode.MISSED if any(found) else ExitCode.OK)


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
        return [as_read(run(golden, data_dir or Path(folder))) for _ in range(runs)]


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
) -> tuple[Comparison, list[str]]:
    """Return the comparison, and in words what is worse beside its metrics."""
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
    return comparison, lost


def _write(path: Path, golden: Golden, new: Golden, *, renews: bool) -> str:
    """Write the golden if anything but times has changed; return the difference."""
    if not renews and golden.timeless_text() == new.timeless_text():
        return f"{path.stem}: unchanged"
    before, after = golden.text(), new.text()
    new.save(path)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"old/{path.name}", f"new/{path.name}", lineterm=""
    )
    return "\n".join(lines) or f"{path.stem}: unchanged"
