"""Where the record of a run is: in its folder, or in that of its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

CONFIG_FOLDERS: Final = ("configs", "dlio_config", ".hydra")
"""What the folder with the configuration is called, by MLPerf Storage's rules and by Hydra."""


def record_in(folder: Path, name: str) -> Path:
    """Return the path of the record `name` of the run in `folder`, whether there is one or not.

    ``cm4storage dlio`` leaves it beside the configuration: the folder of the run has the files that
    DLIO leaves, and no others.
    """
    places = (folder / name, *(folder / each / name for each in CONFIG_FOLDERS))
    return next((place for place in places if place.is_file()), places[0])


def run_folder_of(record: Path) -> Path:
    """Return the folder of the run that a file in it, or beside its configuration, belongs to."""
    folder = record.parent
    return folder.parent if folder.name in CONFIG_FOLDERS else folder
