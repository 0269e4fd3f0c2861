"""Objects of the user's by name: a dotted one, or that of an entry point."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable


def load_named(name: str | None, group: str, key: str) -> Callable[..., Any] | None:
    """Return the class or function that a key names; None where it names none.

    Raises
    ------
    UserError
        If there is none.
    """
    if name is None:
        return None
    from importlib.metadata import entry_points  # takes as long as numpy's arrays

    found = entry_points(group=group, name=name)
    try:
        made: Callable[..., Any]
        made = next(iter(found)).load() if found else pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{key}: {name!r} cannot be loaded: {error}",
            where=key,
            meaning=f"it is neither an entry point of {group} nor the name of an object",
            advice="write package.module.Class, and put the package on PYTHONPATH or install it",
        ) from error
    if not callable(made):
        raise UserError(f"{key}: {name!r} is not a class or function", where=key)
    return made
