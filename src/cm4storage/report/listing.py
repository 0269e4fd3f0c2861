"""Tables of texts: drawn on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for standard output.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequence of str
        Each as long as `headers`.
    """
    return _drawn(headers, rows) if sys.stdout.isatty() else plain_table(headers, rows)


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns that are as wide as their longest text, two spaces between them."""
    lines = [headers, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _drawn(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        drawn.add_column(header, overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    console = Console(file=sys.stdout)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().rstrip("\n")
