"""``cm4storage oplog``: show an operation log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.cli import options
from cm4storage.core.units import format_bytes, format_seconds
from cm4storage.storage.oplog.reading import read_lines, read_rows
from cm4storage.storage.oplog.summary import by_kind

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console

_HEAD = ("op", "count", "bytes", "p50", "p99", "max", "first byte p50", "errors", "retries")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what --oplog has written")
    parser.add_argument("--rows", action="store_true", help="print the rows, tab-separated")
    parser.add_argument("--json", action="store_true", help="write the summary as JSON")
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Print the rows, or what they come to."""
    if args.rows:
        for line in read_lines(args.file):
            console.show(line)
        return 0
    summary = {name: kind.as_json() for name, kind in by_kind(read_rows(args.file)).items()}
    options.write_result(args, summary)
    if args.json:
        console.show(json.dumps(summary, indent=2))
        return 0
    for line in _table([_HEAD, *(_cells(name, kind) for name, kind in summary.items())]):
        console.show(line)
    return 0


def _cells(name: str, kind: dict[str, Any]) -> tuple[str, ...]:
    times = ("p50_s", "p99_s", "max_s", "first_byte_p50_s")
    return (
        name,
        f"{kind['count']:,}",
        format_bytes(kind["bytes"]),
        *("" if kind[time] is None else format_seconds(kind[time]) for time in times),
        f"{kind['errors']:,}",
        f"{kind['retries']:,}",
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
