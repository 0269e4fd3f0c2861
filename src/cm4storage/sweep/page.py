"""The page of a sweep: one file, without anything from a network."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING

from cm4storage.sweep.outcome import FIGURES, Row, cells, headings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.sweep.outcome import Results

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; }
th { border-bottom: 2px solid; min-width: 4.5rem; overflow-wrap: anywhere; vertical-align: bottom; }
td { white-space: nowrap; }
td { border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
.bar { background: #2b6cb0; display: block; height: .3rem; }
code { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
<div class="wide">
<table>
<thead><tr>$head</tr></thead>
<tbody>
$body
</tbody>
</table>
</div>
<h2>Run it again</h2>
<p><code>$command</code></p>
</body>
</html>
""")


def render_page(results: Results, title: str, command: str, planned: int) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    results : Results
    title, command : str
        What was swept, and how it was called.
    planned : int
        How many points the sweep has, finished or not.
    """
    rows = results.rows()
    summary = f"{len(results.finished)} of {planned} points are finished. Mean and standard "
    return _PAGE.substitute(
        title=escape(title),
        summary=escape(summary + "deviation over the runs; bars begin at 0."),
        head="".join(f'<th scope="col">{escape(each)}</th>' for each in headings(results.keys)),
        body="\n".join(_row(row, _greatest(rows)) for row in rows),
        command=escape(command),
    )


def _greatest(rows: Sequence[Row]) -> dict[str, float]:
    """Return the largest mean of each figure."""
    means = {field: [row.figures[field] for row in rows] for field in FIGURES}
    return {
        field: max((samples.mean for samples in each if samples), default=0.0)
        for field, each in means.items()
    }


def _row(row: Row, greatest: dict[str, float]) -> str:
    texts = [escape(text) for text in cells(row)]
    first = len(row.values) + 1
    for place, (field, samples) in enumerate(row.figures.items(), first):
        if samples is not None and greatest[field] > 0:
            share = 100 * samples.mean / greatest[field]
            texts[place] += f'<span class="bar" style="width: {share:.1f}%"></span>'
    return f"<tr>{''.join(f'<td>{text}</td>' for text in texts)}</tr>"
