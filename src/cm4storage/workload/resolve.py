"""From a stock name or a YAML file, a scale and overrides to a checked Workload."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError
from cm4storage.core.files import write_json_atomically
from cm4storage.workload import schema, stock
from cm4storage.workload.model import Scale, Workload, default_settings
from cm4storage.workload.reading import Settings, parse_overrides, read_file, read_text
from cm4storage.workload.rules import check, remarks
from cm4storage.workload.scaling import quick_settings

if TYPE_CHECKING:
    from pathlib import Path

FILE_SCHEMA = "cm4storage.workload"
FILE_VERSION = 1

DEFAULT_MODEL = "unet3d"
DEFAULT_ACCELERATOR = "h100"

_ACCELERATOR_IN_NAME = re.compile(r"_(a100|b200|h100|mi355|v100)(?![a-z0-9])")


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes
    ----------
    model, accelerator : str
        Name a stock workload; `DEFAULT_MODEL` and `DEFAULT_ACCELERATOR` where empty.
    config : Path or None
        A DLIO YAML file, in place of model and accelerator.
    scale : {'quick', 'stock'}
        See `Workload.scale`.
    params : str
        Overrides, ``"section.key=value …"``.
    seed : int or None
        Takes the place of ``train.seed``.
    """

    model: str = ""
    accelerator: str = ""
    config: Path | None = None
    scale: Scale = "stock"
    params: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Resolved:
    """A workload and how it came about.

    Attributes
    ----------
    source : str
        The stock workload's name or the file's path.
    overrides : dict
        What the scale and the user changed in `source`, as plain values by canonical path.
    notes : tuple of str
        What the user should know: keys without effect, a scale that is not comparable.
    """

    workload: Workload
    source: str
    overrides: dict[str, Any]
    notes: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Return the content of a workload file."""
        return {
            "schema": FILE_SCHEMA,
            "version": FILE_VERSION,
            "digest": self.workload.digest(),
            "accelerator": self.workload.accelerator,
            "scale": self.workload.scale,
            "source": self.source,
            "overrides": self.overrides,
            "notes": list(self.notes),
            "settings": self.workload.settings(),
        }

    def save(self, path: Path) -> None:
        """Write the workload file that all other commands read."""
        write_json_atomically(path, self.to_document())


def resolve(request: Request) -> Resolved:
    """Return the checked workload that `request` asks for.

    Raises
    ------
    UserError
        For an unknown stock workload, a bad file or override, or a combination that cannot work.
    """
    base, source, accelerator = _base(request)
    overrides = parse_overrides(request.params)
    changed = dict(overrides.values)
    if request.seed is not None:
        changed["train.seed"] = request.seed
    settings = default_settings() | base.values
    notes = [*base.notes, *overrides.notes]
    if request.scale == "quick":
        full_size = Workload.from_settings(settings, accelerator=accelerator)
        changed = quick_settings(full_size) | changed
        notes.append("quick scale: fewer and smaller files; not comparable with other results")
    settings |= changed
    workload = Workload.from_settings(settings, accelerator=accelerator, scale=request.scale)
    check(workload, f"{source} with --params" if overrides.values else source)
    notes += remarks(workload)
    plain = workload.settings()
    return Resolved(workload, source, {path: plain[path] for path in changed}, tuple(notes))


def _base(request: Request) -> tuple[Settings, str, str]:
    if request.config is None:
        model = request.model or DEFAULT_MODEL
        accelerator = request.accelerator or DEFAULT_ACCELERATOR
        name = f"{model}_{accelerator}"
        return read_text(stock.read(model, accelerator), f"stock {name}"), name, accelerator
    if request.model or request.accelerator:
        chosen = " and ".join(filter(None, (request.model, request.accelerator)))
        raise UsageError(
            f"a workload file and {chosen} exclude each other",
            where=str(request.config),
            advice="leave out the file, or the stock workload's model and accelerator",
        )
    settings = read_file(request.config)
    settings.values.setdefault("model.name", request.config.stem)
    named = _ACCELERATOR_IN_NAME.search(request.config.stem)
    return settings, str(request.config), named.group(1) if named else ""


def load(path: Path) -> Resolved:
    """Read a workload file that `Resolved.save` wrote.

    Raises
    ------
    UserError
        If the file is missing, damaged, of a newer version, or was changed by hand.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_workload_file(str(path)) from error
    return from_document(document, str(path))


def _no_workload_file(where: str) -> UserError:
    return UserError(
        "this is no workload file",
        where=where,
        advice="make one with: cm4storage workload --model=unet3d --out=workload.json",
    )


def from_document(document: object, where: str) -> Resolved:
    """Return what `Resolved.to_document` described; `where` stands in messages.

    Raises
    ------
    UserError
        If the document is damaged, of a newer version, or was changed by hand.
    """
    if not isinstance(document, dict) or document.get("schema") != FILE_SCHEMA:
        raise _no_workload_file(where)
    try:
        version = int(document["version"])
        if version > FILE_VERSION:
            raise UserError(
                f"the workload file has version {version}; this release reads up to {FILE_VERSION}",
                where=where,
                advice="use the release that wrote it, or a newer one",
            )
        resolved = _restored(document)
        unchanged = resolved.workload.digest() == document["digest"]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"the workload file is damaged: {error!r}", where=where) from error
    if not unchanged:
        raise UserError(
            "the workload file was changed after it was made",
            where=where,
            advice="change the YAML or give --params, and resolve it again",
        )
    return resolved


def _restored(document: dict[str, Any]) -> Resolved:
    settings = {key: schema.keys()[key].parse(v) for key, v in document["settings"].items()}
    workload = Workload.from_settings(
        settings, accelerator=document["accelerator"], scale=document["scale"]
    )
    return Resolved(workload, document["source"], document["overrides"], tuple(document["notes"]))
