"""A recipe's metadata as it is written: where keys stand, what is quoted, what stands twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.records import dataclass
from cm4storage.scripting.metadata_files import LOADER, METADATA_FILES, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Place = tuple[Any, ...]


@dataclass(frozen=True)
class Repeated:
    """A key that a mapping holds twice: YAML takes the last, without a word."""

    place: Place
    line: int
    first_line: int


@dataclass(frozen=True)
class Source:
    """The metadata file of one recipe.

    Parameters
    ----------
    file : Path
        The file that findings name.
    value : Mapping
        Its content.
    lines : Mapping
        Place of a value -> the line of its key, from 1 on.
    quoted : frozenset
        The places of scalars in quotes.
    repeated : tuple of Repeated
        Keys that stand twice in one mapping.
    """

    file: Path
    value: Mapping[str, Any]
    lines: Mapping[Place, int]
    quoted: frozenset[Place]
    repeated: tuple[Repeated, ...] = ()

    @property
    def folder(self) -> Path:
        """The recipe's folder."""
        return self.file.parent

    def line(self, *place: Any) -> int:
        """Return the line of a place, or of the nearest one around it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return 1


def read_source(folder: Path) -> Source:
    """Return the metadata of the recipe in `folder`.

    Raises
    ------
    UserError
        If a file cannot be read or holds no mapping.
    """
    value = read_metadata(folder)
    file = next(folder / name for name in METADATA_FILES if (folder / name).exists())
    reader = _Reader()
    node = yaml.compose(file.read_text(encoding="utf-8"), Loader=LOADER)
    reader.read(node, ())
    return Source(file, value, reader.lines, frozenset(reader.quoted), tuple(reader.repeated))


class _Reader:
    """Walks the nodes of a YAML document; JSON is YAML, too."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.quoted: set[Place] = set()
        self.repeated: list[Repeated] = []

    def read(self, node: yaml.Node | None, place: Place) -> None:
        """Note `node`, which is the value at `place`, and what it holds."""
        if isinstance(node, yaml.MappingNode):
            self._read_mapping(node, place)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self.lines[(*place, number)] = item.start_mark.line + 1
                self.read(item, (*place, number))
        elif isinstance(node, yaml.ScalarNode) and node.style in ("'", '"'):
            self.quoted.add(place)

    def _read_mapping(self, node: yaml.MappingNode, place: Place) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen and name != "<<":
                self.repeated.append(Repeated((*place, name), line, seen[name]))
            seen.setdefault(name, line)
            self.lines[(*place, name)] = line
            self.read(value, (*place, name))


def shown_place(place: Place) -> str:
    """Return a place as a person would write it.

    >>> shown_place(("variations", "s3", "deps", 0, "tags"))
    'variations.s3.deps[0].tags'
    """
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
