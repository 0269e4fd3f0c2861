"""Where the checkpoints of a training go."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from cm4storage.storage.location import StoreLocation

if TYPE_CHECKING:
    from cm4storage.checkpoint.settings import CheckpointSettings


def place_of(
    settings: CheckpointSettings, checkpoint_folder: str, data_root: StoreLocation
) -> StoreLocation:
    """Return the location that the settings name, else the workload's folder.

    A folder of the workload that is relative is below the location of the data, on whatever
    backend that is; an absolute one is meant as it stands where data are in folders, too.

    Raises
    ------
    UserError
        If there is no such location.
    """
    named = settings.checkpoint_dir or checkpoint_folder
    if "://" in named or settings.checkpoint_dir:
        return _named(named, data_root)
    if named.startswith("/") and data_root.is_folder:
        return replace(data_root, uri=f"{data_root.scheme}://{quote(posixpath.normpath(named))}")
    key = posixpath.normpath(named).strip("/")
    return data_root if key in ("", ".") else data_root.child(key)


def _named(text: str, data_root: StoreLocation) -> StoreLocation:
    """Return a location, through the service and client of the data where it has their scheme."""
    location = StoreLocation.parse(text)
    if location.is_folder:
        return replace(location, log=data_root.log)
    if location.scheme == data_root.scheme:
        return replace(data_root, uri=location.uri)
    return replace(location, log=data_root.log)
