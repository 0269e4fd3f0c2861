"""``cm4storage generate``: find or generate a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.errors import UserError
from cm4storage.core.units import format_bytes, format_count
from cm4storage.dataset.outputs import DATASET_THREADS
from cm4storage.dataset.preparation import prepare
from cm4storage.workload.resolved import load
from cm4storage.workload.rules import require_data_set

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console
    from cm4storage.storage.location import StoreLocation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_workload(parser)
    options.add_storage(parser)
    options.add_threads(parser, "files are made at a time; no byte depends on it", DATASET_THREADS)
    parser.add_argument(
        "--fsync", action="store_true",
        help="make each file and its folder entry durable before the next; local files only",
    )  # fmt: skip
    options.add_oplog(parser)
    options.add_output(parser, "what --result_file holds")
    options.add_result_file(parser)


def _require_folder(place: StoreLocation) -> None:
    if not place.is_folder:
        raise UserError(
            "only local files can be synced",
            where=place.uri,
            meaning="an object service decides itself when an object is durable",
            advice="leave --fsync out",
        )


def execute(args: argparse.Namespace, console: Console) -> int:
    """Prepare the data set and say whether it was found or generated, and why."""
    resolved = load(args.workload)
    workload = resolved.workload
    require_data_set(workload, resolved.source)
    if args.fsync:
        _require_folder(options.location(args))
    with options.logged_location(args, "generate") as place:
        prepared = prepare(
            workload,
            place,
            console.progress(),
            console.say,
            threads=args.threads,
            fsync=args.fsync,
        )
    manifest = prepared.manifest
    if not prepared.generated:
        console.say(f"hit: {prepared.reason}")
    console.say(
        f"data set {prepared.location.uri}: {format_count(manifest.files, 'file')}, "
        f"{format_bytes(manifest.total_bytes)}, content {manifest.content_digest}"
    )
    options.say_retries(console, prepared.retries)
    result = {
        "uri": prepared.location.uri,
        "generated": prepared.generated,
        "reason": prepared.reason,
        "files": manifest.files,
        "total_bytes": manifest.total_bytes,
        "content_digest": manifest.content_digest,
        "retries": prepared.retries,
    }
    options.write_result(args, result)
    if args.out == "json":
        options.show_json(console, result)
    return 0
