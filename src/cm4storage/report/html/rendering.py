"""The templates of pages, and the rules under which they are filled."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import redact_url
from cm4storage.report.html import wording

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"

_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), 127) if code not in (9, 10)}


def rendered(name: str, **values: Any) -> str:
    """Return the template of a run's page filled with `values`."""
    style, script = (own(TEMPLATES / name) for name in ("style.css", "script.js"))
    return filled(environment(TEMPLATES, wording), name, style, script, values)


def filled(
    templates: Environment, name: str, style: str, script: str, values: Mapping[str, Any]
) -> str:
    """Return a template filled with `values`; all text in them is escaped.

    Besides, the page's own policy lets nothing run or load but the script and the style that are
    part of the template: what came in from elsewhere stays text even if it was not escaped.

    Parameters
    ----------
    style, script : str
        Ours; no value is in them.
    """
    from markupsafe import Markup

    return templates.get_template(name).render(
        style=Markup(style),
        script=Markup(script),
        style_digest=_digest(style),
        script_digest=_digest(script),
        **values,
    )


@cache
def environment(folder: Path, words: ModuleType) -> Environment:
    """Return the templates in `folder`; they know the functions of `words` by that name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    made.globals["words"] = words
    return made


def own(path: Path) -> str:
    """Return the text of a style or a script of ours."""
    return path.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _printable(value: Any) -> Any:
    """Replace characters that HTML cannot hold, and secrets of URLs: pages are sent on."""
    return redact_url(value.translate(_CONTROL)) if type(value) is str else value
