"""Values as texts. The script of the page writes numbers in the same way."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cm4storage.results.collecting.model import Value

NOTHING = "-"


def shown(value: Value | None) -> str:
    """Return a value as a cell shows it.

    >>> shown(1234.567), shown(0.00123), shown(28000), shown(True)
    ('1,235', '0.00123', '28,000', 'true')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else _number(value)


def parts(name: str) -> list[str]:
    """Return the parts between which a long name may go on in the next line.

    >>> parts("reader.read_threads")
    ['reader.', 'read_', 'threads']
    """
    return re.split(r"(?<=[._])", name)


def _number(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        return f"{value:.3e}"
    digits = max(0, 3 - math.floor(math.log10(size)))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
