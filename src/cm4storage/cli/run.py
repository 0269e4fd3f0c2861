"""``cm4storage run``: run the loader with emulated accelerators."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.checkpoint.choosing import plugins_of
from cm4storage.cli import checkpoint_options, options
from cm4storage.core.errors import redact_words
from cm4storage.core.units import format_bytes, format_count, format_seconds
from cm4storage.dataset.opening import open_dataset, open_unverified
from cm4storage.loader.benchmark import Job, run_and_save
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.workload.resolved import load

if TYPE_CHECKING:
    import argparse

    from cm4storage.dataset.opening import Opener
    from cm4storage.loader.benchmark import Finished
    from cm4storage.report.console import Console
    from cm4storage.results.records import RunRecord
    from cm4storage.storage.location import StoreLocation
    from cm4storage.workload.resolved import Resolved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_workload(parser)
    options.add_storage(parser)
    parser.add_argument(
        "--results_dir", type=Path, default=Path("results"), metavar="FOLDER",
        help="results go to FOLDER/training/<model>/run/<time>/ (default: results)",
    )  # fmt: skip
    parser.add_argument(
        "--foreign", action="store_true",
        help="--data_dir is itself a data set, made by DLIO or others: the folder that holds train",
    )  # fmt: skip
    options.add_limits(parser)
    parser.add_argument(
        "--on_error", choices=("stop", "skip"), default="stop",
        help="what a missing or damaged file does: stop the run, or be counted and left out",
    )  # fmt: skip
    parser.add_argument(
        "--record_order", action="store_true",
        help="write the samples of each epoch in their order beside the record",
    )  # fmt: skip
    checkpoint_options.add_arguments(parser)
    options.add_oplog(parser)
    options.add_output(parser, "the content of report.json")
    options.add_result_file(parser)


def _opener(args: argparse.Namespace) -> Opener:
    """Return what opens the data set; files that may be skipped are not looked for before."""
    skips = args.on_error == "skip"
    if not args.foreign:
        return open_unverified if skips else open_dataset
    from cm4storage.dataset.foreign import open_foreign, open_foreign_in_part

    return open_foreign_in_part if skips else open_foreign


def execute(args: argparse.Namespace, console: Console) -> int:
    """Run the workload and leave its record in a new folder of results."""
    resolved = load(args.workload)  # before the log: what is wrong must not cost the last one
    _check_readers(args)
    with options.logged_location(args, "run") as place:
        job = _job(args, resolved, place)
        finished = run_and_save(job, args.results_dir.absolute(), console.progress())
    return _tell(args, console, finished)


def _check_readers(args: argparse.Namespace) -> None:
    if args.readers == "processes":
        from cm4storage.loader.processes import limits

        limits.require_readable(options.location(args))
        if args.oplog is not None:
            raise limits.missing_in_log()


def _job(args: argparse.Namespace, resolved: Resolved, place: StoreLocation) -> Job:
    return Job(
        resolved=resolved,
        data_root=place,
        limits=Limits(args.max_epochs, args.max_steps),
        command=shlex.join(redact_words(options.own_command())),
        conduct=Conduct(args.on_error, args.cold, args.record_order, args.readers),
        lifecycle=plugins_of(resolved.workload, checkpoint_options.given(args)),
        open_data=_opener(args),
    )


def _tell_checkpoints(console: Console, record: RunRecord, *, were_asked_for: bool) -> None:
    written = [each for each in record.checkpoints if not each.error]
    for checkpoint in record.checkpoints:
        if checkpoint.error:
            console.complain(f"warning: the checkpoint of step {checkpoint.step} failed:")
            console.complain(f"  {checkpoint.error}")
    if written:
        options_of_all = record.conduct["plugin_options"].values()
        places = sorted({str(each["location"]) for each in options_of_all if "location" in each})
        run_id = written[0].key.rpartition("/")[0]
        where = ", ".join(f"{place}/{run_id}" for place in places)
        console.say(f"{format_count(len(written), 'checkpoint')}: {where}")
    elif were_asked_for and not record.checkpoints:
        steps = format_count(sum(len(epoch.compute_s) for epoch in record.epochs), "step")
        epochs = format_count(len(record.epochs), "epoch")
        console.complain(f"warning: no checkpoint was due in the {steps} of {epochs}")


def _tell(args: argparse.Namespace, console: Console, finished: Finished) -> int:
    record = finished.run.record
    seconds = sum(epoch.duration_s for epoch in record.epochs)
    total_bytes = sum(epoch.bytes_read for epoch in record.epochs)
    skipped = sum(epoch.skipped_files for epoch in [*record.epochs, *record.evaluations])
    if skipped:
        console.complain(f"warning: {format_count(skipped, 'file')} skipped, the first because of")
        console.complain(f"  {record.faults[0]}")
    asked = checkpoint_options.given(args) is not None
    _tell_checkpoints(console, record, were_asked_for=asked)
    console.say(f"read {format_bytes(total_bytes)} in {format_seconds(seconds)}")
    options.say_retries(console, record.retries)
    console.say(f"record of the run: {finished.folder}")
    options.write_result(args, {"run_dir": str(finished.folder)})
    if args.out == "json":
        # Not above: a run is to begin soon.
        from cm4storage.results import figures
        from cm4storage.results.report_files import build_report

        options.show_json(console, build_report(figures.of_run(record)))
    return 0
