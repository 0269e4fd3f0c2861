"""Which submission a run belongs to, from its path, its configuration and its metadata."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cm4storage.results.collecting.files import mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cm4storage.results.collecting.finding import RunFiles
    from cm4storage.results.collecting.model import Value

_DIVISIONS = {"closed", "open", "whatif"}
_ROUND = re.compile(r"(?:^|[_.-])(v\d\.\d)(?=$|[_.-])")
_WORKLOAD = re.compile(r"workload=(?P<model>.+?)(?:_(?P<accelerator>[a-z]+\d+[a-z]*))?")


def of_path(folder: Path) -> dict[str, str]:
    """Return round, division, submitter and system, as far as the folders' names tell.

    Source: the directory rules, ``{closed|open}/<organization>/results/<system>/...``.
    """
    parts = folder.resolve().parts
    rounds = [match[1] for part in parts for match in _ROUND.finditer(part)]
    names = {"round": rounds[-1]} if rounds else {}
    for place, part in enumerate(parts[:-3]):
        if part.lower() in _DIVISIONS and parts[place + 2].lower() == "results":
            names |= {
                "division": part.lower(),
                "submitter": parts[place + 1],
                "system": parts[place + 3],
            }
    return names


def of_files(files: RunFiles, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the round of MLPerf Storage in which a run leaves such files."""
    if metadata:
        is_newer = "system_info" in metadata or "override_parameters" in metadata
        return {"round": "v3.0" if is_newer else "v2.0"}
    is_first = any(path.name == "per_epoch_stats.json" for path in files.stats.values())
    return {"round": "v1.0"} if is_first else {}


def of_overrides(overrides: Sequence[object]) -> dict[str, str]:
    """Return workload, model and accelerator from Hydra's ``workload=<model>_<accelerator>``."""
    for each in overrides:
        match = _WORKLOAD.fullmatch(each) if isinstance(each, str) else None
        if match:
            known = {name: value for name, value in match.groupdict().items() if value}
            return known | {"workload": match[0].partition("=")[2]}
    return {}


def of_metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return model and accelerator from what ``mlpstorage`` wrote beside a run."""
    arguments = mapping(metadata.get("args"))
    found = {
        "model": metadata.get("model") or arguments.get("model"),
        "accelerator": metadata.get("accelerator") or arguments.get("accelerator_type"),
        "verification": metadata.get("verification"),
    }
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def of_parameters(parameters: Mapping[str, Value]) -> dict[str, str]:
    """Return the model that the configuration names."""
    name = parameters.get("model.name")
    return {"model": name} if isinstance(name, str) and name else {}
