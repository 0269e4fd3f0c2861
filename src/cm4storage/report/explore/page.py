"""The page over many runs: what is on it, and the data that its script plots."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cm4storage.core.files import write_text_atomically
from cm4storage.core.units import format_count
from cm4storage.report.explore.columns import Column, Table, table_of
from cm4storage.report.explore.rendering import rendered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cm4storage.results.collecting.model import Collection, Value

FILE_NAME = "explore.html"
_PAGE_OF_RUN = "report.html"


def write_page(collection: Collection, path: Path, roots: Sequence[str]) -> None:
    """Write the page to `path`.

    Parameters
    ----------
    collection : Collection
    path : Path
    roots : sequence of str
        The folders that were named, as the page is to show them.

    Raises
    ------
    StorageFault
        If it cannot be written.
    """
    links = [_link(run.folder, path) for run in collection.runs]
    # Names of files may have bytes that are no text; they are shown as such.
    write_text_atomically(path, page(collection, roots, links), errors="backslashreplace")


def page(collection: Collection, roots: Sequence[str], links: Sequence[str | None]) -> str:
    """Return the page as text.

    Parameters
    ----------
    links : sequence of str or None
        For each run, where its own page is.
    """
    table = _shortened(table_of(collection))
    unsound = [run for run in collection.runs if run.problems]
    differing = [run for run in collection.runs if run.recomputation.differing]
    return rendered(
        "explore.html.jinja",
        title=format_count(len(collection.runs), "run"),
        roots=list(roots),
        when=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        table=table,
        links=list(links),
        data=_embedded(table, links),
        states=Counter(run.state for run in collection.runs),
        verdicts=Counter(run.recomputation.verdict for run in collection.runs),
        unsound=unsound,
        differing=differing,
        reports=collection.reports,
        problems=collection.problems,
    )


def _shortened(table: Table) -> Table:
    """Leave out the folders that the names of all runs begin with."""
    names = [str(row[0]) for row in table.rows]
    common = os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120
    rows = [
        [os.path.relpath(name, common or "."), *row[1:]]
        for name, row in zip(names, table.rows, strict=True)
    ]
    return replace(table, rows=rows)


def _link(folder: Path, path: Path) -> str | None:
    """Return the way from the page to that of a run, if the run has one."""
    if not (folder / _PAGE_OF_RUN).is_file():
        return None
    way = os.path.relpath(folder / _PAGE_OF_RUN, path.parent)
    return quote(way, errors="surrogateescape")


def _embedded(table: Table, links: Sequence[str | None]) -> str:
    """Return the table as JSON that can stand in a script element.

    Nothing in it ends the element or begins a comment: the signs that could are written as their
    numbers, which JSON reads as the same.
    """
    columns = [
        _column(column, [row[place] for row in table.rows])
        for place, column in enumerate(table.columns)
    ]
    text = json.dumps({"columns": columns, "links": links}, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _column(column: Column, values: list[Value | None]) -> dict[str, Any]:
    """Return a column; texts as places in a list of them, since most of them return."""
    facts: dict[str, Any] = {
        "key": column.key,
        "title": column.title,
        "unit": column.unit,
        "group": column.group,
        "better": column.better,
        "shown": column.is_shown,
    }
    if column.is_number:
        return facts | {"cells": values}
    texts = [None if value is None else _text(value) for value in values]
    levels = list(dict.fromkeys(text for text in texts if text is not None))
    places = {text: place for place, text in enumerate(levels)}
    return facts | {
        "levels": levels,
        "cells": [None if text is None else places[text] for text in texts],
    }


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
