"""The template of the page over many runs, its style and its script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cm4storage.report.explore import wording
from cm4storage.report.html import rendering

_TEMPLATES = Path(__file__).parent / "templates"
_STYLES = (rendering.TEMPLATES / "style.css", _TEMPLATES / "explore.css")
_SCRIPTS = (
    *("data.js", "filter.js", "table.js", "compare.js", "scales.js", "plot.js"),
    "start.js",  # the last: it calls the others
)


def rendered(name: str, *, data: str, **values: Any) -> str:
    """Return a template filled with `values`; all text in them is escaped.

    Parameters
    ----------
    data : str
        JSON that is safe in a script element.
    """
    from markupsafe import Markup

    script = "".join(rendering.own(_TEMPLATES / each) for each in _SCRIPTS)
    return rendering.filled(
        rendering.environment(_TEMPLATES, wording),
        name,
        "".join(map(rendering.own, _STYLES)),
        f'"use strict";\n(() => {{\n{script}}})();\n',
        {"data": Markup(data), **values},
    )
