"""``cm4storage check``: find out what a storage backend can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.errors import ExitCode
from cm4storage.core.units import format_bytes, format_seconds
from cm4storage.storage.check import check_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from cm4storage.report.console import Console
    from cm4storage.storage.diagnosis.findings import Diagnosis, Finding
    from cm4storage.storage.location import StoreLocation

_NAME_WIDTH = 12
_TIME_WIDTH = 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_storage(parser)
    parser.add_argument(
        "--brief", action="store_true",
        help="only write, read, list and remove one object, and stop at the first failure",
    )  # fmt: skip
    parser.add_argument(
        "--hold", action="store_true",
        help="keep an embedded server until the cm run that this command belongs to ends",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="write the outcome as JSON")
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Ask the location one thing after the other, and show each answer as it comes."""
    place = options.location(args)
    if args.brief:
        return _check_briefly(args, place, console)
    return _check_thoroughly(args, place, console)


def _check_thoroughly(args: argparse.Namespace, place: StoreLocation, console: Console) -> int:
    from cm4storage.storage.diagnosis.runner import diagnose

    lines = (lambda _line: None) if args.json else console.show
    lines(f"{place.uri}{_server_of(place)}")

    def tell(finding: Finding) -> None:
        for line in _lines(finding):
            lines(line)

    diagnosis = diagnose(place, tell, tell_left=_complaining(console), share_lifeline=args.hold)
    options.write_result(args, diagnosis.as_json())
    if args.json:
        console.show(json.dumps(diagnosis.as_json(), indent=2))
    lines(_summary(diagnosis))
    return int(ExitCode.OK if diagnosis.is_good else ExitCode.STORAGE)


def _complaining(console: Console) -> Callable[[Finding], None]:
    """Return what tells of objects that a check has left: whoever reads the outcome or not."""

    def tell_left(finding: Finding) -> None:
        for line in _lines(finding):
            console.complain(line)

    return tell_left


def _lines(finding: Finding) -> list[str]:
    took = format_seconds(finding.elapsed_s) if finding.elapsed_s else ""
    head = f"  {finding.name:<{_NAME_WIDTH}}  {finding.status:<9}  {took:>{_TIME_WIDTH}}  "
    details = (("where", finding.where), ("cause", finding.meaning), ("to do", finding.advice))
    return [
        f"{head}{finding.text}".rstrip(),
        *(f"    {label}: {text}" for label, text in details if text),
    ]


def _summary(diagnosis: Diagnosis) -> str:
    counts = (f"{diagnosis.count(status)} {status}" for status in ("ok", "failed", "not tried"))
    return f"{', '.join(counts)} in {format_seconds(diagnosis.elapsed_s)}"


def _check_briefly(args: argparse.Namespace, place: StoreLocation, console: Console) -> int:
    report = check_store(place, _complaining(console), share_lifeline=args.hold)
    free = "" if report.free_bytes is None else f", {format_bytes(report.free_bytes)} free"
    console.say(f"storage {report.uri}{_server_of(place)} works{free}")
    steps = (f"{step.name} {format_seconds(step.latency_s)}" for step in report.steps)
    console.say(f"  {', '.join(steps)}")
    options.write_result(args, report.as_json())
    if args.json:
        console.show(json.dumps(report.as_json(), indent=2))
    return 0


def _server_of(place: StoreLocation) -> str:
    return " (embedded server)" if place.server_dir else ""
