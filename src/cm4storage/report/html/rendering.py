"""The templates, and the rules under which they are filled."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.report.html import wording

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"

_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), 127) if code not in (9, 10)}


def rendered(name: str, **values: Any) -> str:
    """Return a template filled with `values`; all text in them is escaped.

    Besides, the page's own policy lets nothing run or load but the script and the style that are
    part of the template: what came in from elsewhere stays text even if it was not escaped.
    """
    from markupsafe import Markup

    style, script = (_own(name) for name in ("style.css", "script.js"))
    return (
        _environment()
        .get_template(name)
        .render(
            style=Markup(style),  # ours, and no value is in it
            script=Markup(script),
            style_digest=_digest(style),
            script_digest=_digest(script),
            **values,
        )
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    environment.globals["words"] = wording
    return environment


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _printable(value: Any) -> Any:
    """Replace characters that HTML cannot hold."""
    return value.translate(_CONTROL) if type(value) is str else value
