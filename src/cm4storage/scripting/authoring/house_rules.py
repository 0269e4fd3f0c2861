"""How strict a repository is with its own recipes: the part ``recipe_rules`` of its cmr.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.nearest import nearest

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY_FILE = "cmr.yaml"
_KEY = "recipe_rules"
_KNOWN = ("strict", "env_prefix")


@dataclass(frozen=True)
class HouseRules:
    """What a repository asks of its recipes.

    Parameters
    ----------
    is_strict : bool
        Hold recipes to all rules; else only to those whose breach breaks something under any
        engine.
    env_prefix : str
        What the names of the recipes' own variables begin with; "" if anything but another
        engine's prefix will do.
    """

    is_strict: bool = False
    env_prefix: str = ""


def read_house_rules(repository: Path) -> HouseRules:
    """Return the rules of the repository in this folder.

    Raises
    ------
    UserError
        If its cmr.yaml is malformed.
    """
    raw = read_repository(repository).get(_KEY) or {}
    file = repository / REPOSITORY_FILE
    if not isinstance(raw, dict):
        raise UserError(f"{_KEY} must be a mapping, not {raw!r}", where=str(file))
    for name in raw:
        if name not in _KNOWN:
            near = nearest(str(name), _KNOWN)
            hint = f"did you mean {near}? " if near else ""
            raise UserError(
                f"{_KEY} has no key {name!r}",
                where=str(file),
                advice=f"{hint}Known keys: {', '.join(_KNOWN)}",
            )
    if not isinstance(raw.get("strict", False), bool):
        raise UserError(f"{_KEY}.strict must be true or false", where=str(file))
    return HouseRules(raw.get("strict", False), str(raw.get("env_prefix") or ""))


def read_repository(folder: Path) -> dict[str, Any]:
    """Return the content of a repository's cmr.yaml; an empty mapping if it has none.

    It stands above the folder of a repository that has its recipes in a subfolder (``prefix``).

    Raises
    ------
    UserError
        If it is no YAML, or holds no mapping.
    """
    value = _content(folder / REPOSITORY_FILE)
    if value is None:
        above = _content(folder.parent / REPOSITORY_FILE) or {}
        return above if above.get("prefix") == folder.name else {}
    return value


def _content(file: Path) -> dict[str, Any] | None:
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"cannot read {REPOSITORY_FILE}", where=str(file), meaning=str(error)
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{REPOSITORY_FILE} must hold a mapping", where=str(file))
    return value
