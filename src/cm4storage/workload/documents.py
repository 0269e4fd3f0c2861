"""YAML text as a plain tree that remembers the line of every key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 40
_MOST_NODES = 200_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Document:
    """One YAML file.

    Attributes
    ----------
    source : str
        How messages name it.
    tree : dict
        Its content.
    lines : dict
        The line of each key, counted from 1, by the path of names.
    """

    source: str
    tree: dict[str, Any]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def line(self, path: tuple[str, ...]) -> int | None:
        """Return the line of the key at `path`, or of the nearest key above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def parse(text: str, source: str) -> Document:
    """Return the content of a YAML file that holds a mapping.

    Raises
    ------
    UserError
        If it is no YAML, no mapping, or has a key twice.
    """
    try:
        _check_depth(text, source)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines = dict(_Walk(source).lines(node)) if node is not None else {}
            tree = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _not_yaml(error, source) from error
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"the workload file has a value that is none: {error}", where=source
        ) from error
    if not isinstance(tree, dict) or not tree:
        raise UserError(
            "the workload file holds no settings",
            where=source,
            meaning="a DLIO workload is a mapping with sections such as dataset and reader",
        )
    return Document(source, _with_text_keys(tree), lines)


def _not_yaml(error: yaml.YAMLError, source: str) -> UserError:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or "not YAML"
    return UserError(f"the workload file is not valid YAML: {problem}", where=f"{source}{line}")


def _check_depth(text: str, source: str) -> None:
    """Refuse what would exhaust the stack, before anything recursive sees it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise UserError(
                f"the workload file is nested more than {_DEEPEST} levels deep", where=source
            )


class _Walk:
    """Walks the nodes of one file; refuses double keys, and anchors that hold or multiply."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._open: set[int] = set()
        self._nodes = 0

    def lines(
        self, node: yaml.Node, path: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], int]]:
        self._nodes += 1
        if id(node) in self._open or self._nodes > _MOST_NODES:
            raise UserError(
                "the workload file has an anchor that holds itself, or too many values",
                where=f"{self._source}, line {node.start_mark.line + 1}",
            )
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield from self.lines(item, (*path, str(index)))
        self._open.discard(id(node))

    def _mapping(
        self, node: yaml.MappingNode, path: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], int]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if key.tag != _MERGE:
                if name in seen:
                    raise UserError(
                        f"{'.'.join((*path, name))} stands twice in one file",
                        where=f"{self._source}, lines {seen[name]} and {line}",
                        advice="keep one of them",
                    )
                seen[name] = line
                yield (*path, name), line
            yield from self.lines(value, (*path, name))


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _with_text_keys(each) for name, each in value.items()}
    return [_with_text_keys(each) for each in value] if isinstance(value, list) else value
