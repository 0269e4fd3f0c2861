"""``cm4storage check``: try out a storage backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.units import format_bytes, format_seconds
from cm4storage.storage.check import check_store

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_storage(parser)
    parser.add_argument(
        "--hold", action="store_true",
        help="keep an embedded server until the cm run that this command belongs to ends",
    )  # fmt: skip


def execute(args: argparse.Namespace, console: Console) -> int:
    """Write, read, list and remove a small object, and say how long each took."""
    place = options.location(args)
    report = check_store(place, share_lifeline=args.hold)
    free = "" if report.free_bytes is None else f", {format_bytes(report.free_bytes)} free"
    server = " (embedded server)" if place.server_dir else ""
    console.say(f"storage {report.uri}{server} works{free}")
    steps = (f"{step.name} {format_seconds(step.latency_s)}" for step in report.steps)
    console.say(f"  {', '.join(steps)}")
    return 0
