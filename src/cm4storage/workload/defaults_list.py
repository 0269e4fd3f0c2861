"""The entries of a Hydra ``defaults`` list: which file each names, and under which section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from cm4storage.workload.documents import Document

SELF = "_self_"
GROUP = "workload"

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Default:
    """One file that a defaults list names.

    Attributes
    ----------
    group : str
        The folder, such as ``base``; empty for a file beside, `GROUP` for a workload.
    name : str
        Without ``.yaml``.
    package : tuple of str or None
        The section that its content goes under, below that of the file with the list; None: from
        the top.
    is_optional : bool
        Whether it may be missing.
    """

    group: str
    name: str
    package: tuple[str, ...] | None
    is_optional: bool = False

    @property
    def path(self) -> str:
        """Group and name, as a path without its ending."""
        return f"{self.group}/{self.name}" if self.group else self.name


def defaults_of(document: Document) -> list[Default | str]:
    """Return the entries of a file's list in their order, `SELF` last where it is not written.

    Entries about Hydra's own settings are left out.

    Raises
    ------
    UserError
        For an entry that is not understood.
    """
    items = document.tree.get("defaults", [])
    if not isinstance(items, list):
        raise bad_default(items, document)
    parsed = [each for item in items for each in _parse(item, document)]
    return parsed if SELF in parsed else [*parsed, SELF]


def bad_default(item: Any, document: Document) -> UserError:
    """Return the error about an entry that is not understood."""
    return UserError(
        f"defaults: {item!r:.80} is not understood",
        where=f"{document.source}, line {document.line(('defaults',))}",
        advice="write a list of _self_, names of files, and GROUP: NAME",
    )


def _parse(item: Any, document: Document) -> list[Default | str]:
    if item == SELF:
        return [SELF]
    if isinstance(item, str):
        group, _, name = item.rpartition("/")
        name, _, package = name.partition("@")
        return _made(group, name, package, document)
    if not isinstance(item, dict) or len(item) != 1:
        raise bad_default(item, document)
    ((group, names),) = item.items()
    group, _, package = group.partition("@")
    found: list[Default | str] = []
    for name in names if isinstance(names, list) else [names]:
        found += [] if name is None else _made(group, name, package, document)
    return found


def _made(group: str, name: Any, package: str, document: Document) -> list[Default | str]:
    is_optional = group.startswith("optional ")
    group = group.removeprefix("optional ").removeprefix("override ").strip().strip("/")
    if group.split("/")[0] == "hydra":
        return []
    is_text = isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME
    if not is_text or "\0" in f"{group}{name}" or len(group) > _LONGEST_NAME or "${" in name:
        raise bad_default(f"{group}: {name}" if group else name, document)
    default = Default(group, name.removesuffix(".yaml"), _package(group, package), is_optional)
    return [default]


def _package(group: str, written: str) -> tuple[str, ...] | None:
    """Return the section below that of the list: that of the folders' names, or as written."""
    if written == "_global_":
        return None
    if written == "_here_":
        return ()
    if written:
        return tuple(written.split("."))
    parts = tuple(part for part in group.split("/") if part not in ("", ".", ".."))
    return parts[1:] if parts[:1] == (GROUP,) else parts
