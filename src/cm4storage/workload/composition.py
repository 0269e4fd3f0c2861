"""From a workload file to its layers: Hydra's ``defaults`` lists, and nesting under ``workload``.

Supported is what DLIO's configurations use: ``_self_``, names of files beside the file with their
folder and ``@_here_``, and ``group: name``. Source of the rules: "The Defaults List" in the
documentation of Hydra 1.3: later entries go before earlier ones, and a file goes before its
defaults unless ``_self_`` stands elsewhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.workload import documents, stock
from cm4storage.workload.defaults_list import GROUP, Default, defaults_of
from cm4storage.workload.entries import Layer, layer_of

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.workload.documents import Document

_MOST_FILES = 200


@dataclass(frozen=True)
class Composed:
    """What the files of one workload say.

    Attributes
    ----------
    layers : tuple of Layer
        Later ones go before earlier ones.
    hydra : dict
        The section ``hydra`` of the first file.
    """

    layers: tuple[Layer, ...]
    hydra: dict[str, Any] = field(default_factory=dict)


def read_config(path: Path, source: str = "") -> Document:
    """Read one YAML file.

    Raises
    ------
    UserError
        If it cannot be read or holds no mapping.
    """
    shown = source or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"there is no workload file {path.name}",
            where=shown,
            advice="check --config; a relative path starts at the folder you call from",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"cannot read the workload file: {reason}", where=shown) from error
    return documents.parse(text, shown)


class Composer:
    """Follows the defaults lists of one workload.

    Parameters
    ----------
    config_dir : Path or None
        Where groups of files are looked for, beside the folder of the file that names them.
    """

    def __init__(self, config_dir: Path | None = None) -> None:
        self._config_dir = config_dir
        self._files = 0

    def compose(self, document: Document, path: Path | None = None) -> Composed:
        """Return the layers of a file and of all that its defaults name.

        Parameters
        ----------
        document : Document
        path : Path, optional
            Where it is; names in its defaults start there.
        """
        chain = () if path is None else (path.resolve(),)
        hydra = document.tree.get("hydra")
        return Composed(
            tuple(self._layers(document, chain, ())), hydra if isinstance(hydra, dict) else {}
        )

    def find(self, name: str) -> Path | None:
        """Return the file of the workload `name`, in the config folder or among the stock ones."""
        return _first(self._in_group(GROUP, name, None)) if "\0" not in name else None

    def _layers(
        self, document: Document, chain: tuple[Path, ...], package: tuple[str, ...]
    ) -> list[Layer]:
        layers: list[Layer] = []
        for item in defaults_of(document):
            if isinstance(item, str):
                layers += _own_layers(document, package, _kind(chain))
            else:
                layers += self._named(item, document, chain, package)
        return layers

    def _named(
        self,
        item: Default,
        document: Document,
        chain: tuple[Path, ...],
        package: tuple[str, ...],
    ) -> list[Layer]:
        """Return the layers of a file in a defaults list; a file never means itself."""
        candidates = self._candidates(item, chain)
        path = _first([each for each in candidates if each.resolve() not in chain])
        if path is None and item.is_optional:
            return []
        if path is None:
            raise _not_found(item.path, candidates, chain, document)
        self._files += 1
        if self._files > _MOST_FILES:
            raise UserError(
                f"the defaults lists name more than {_MOST_FILES} files", where=document.source
            )
        inner = () if item.package is None else (*package, *item.package)
        read = read_config(path, stock.source_of(path))
        return self._layers(read, (*chain, path.resolve()), inner)

    def _candidates(self, item: Default, chain: tuple[Path, ...]) -> list[Path]:
        beside = chain[-1].parent if chain else None
        if item.group.split("/")[0] == GROUP:
            inner = "/".join([*item.group.split("/")[1:], item.name])
            return self._in_group(GROUP, inner, beside)
        here = [beside / f"{item.path}.yaml"] if beside is not None else []
        return [*here, *self._in_group(GROUP, item.path, beside)]

    def _in_group(self, group: str, name: str, beside: Path | None) -> list[Path]:
        folders = [f for f in (self._config_dir, beside) if f is not None]
        paths = [f / part / f"{name}.yaml" for f in folders for part in (group, "")]
        return [*paths, stock.FOLDER / f"{name}.yaml"]


def _first(paths: list[Path]) -> Path | None:
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113


def _kind(chain: tuple[Path, ...]) -> Any:
    return "stock" if chain and stock.FOLDER in chain[-1].parents else "file"


def _own_layers(document: Document, package: tuple[str, ...], kind: Any) -> list[Layer]:
    """Return what a file itself says: its sections, and those nested under ``workload``."""
    tree = {k: v for k, v in document.tree.items() if k not in ("defaults", "hydra")}
    inner = tree.pop(GROUP, None)
    layers = [layer_of(document, tree, kind, package=package)] if tree else []
    if isinstance(inner, dict):
        layers.append(layer_of(document, inner, kind, below=(GROUP,), package=package))
    return layers


def _not_found(
    name: str, candidates: list[Path], chain: tuple[Path, ...], document: Document
) -> UserError:
    circle = next((path for path in candidates if path.resolve() in chain), None)
    if circle is not None:
        names = " -> ".join(path.stem for path in (*chain, circle.resolve()))
        return UserError(
            f"the defaults lists go in a circle: {names}",
            where=document.source,
            advice="take one of the names out of the lists",
        )
    return UserError(
        f"defaults: there is no file {name}",
        where=f"{document.source}, line {document.line(('defaults',))}",
        meaning="looked for " + ", ".join(map(str, candidates[:3])) + " and the stock workloads",
        advice="check the name, and --config-dir",
    )
