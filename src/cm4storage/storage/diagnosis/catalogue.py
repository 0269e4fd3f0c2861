"""Which probes a location is asked, and in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.storage.diagnosis import folders, measuring, operations

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.findings import Probe
    from cm4storage.storage.location import StoreLocation


def probes_for(location: StoreLocation) -> tuple[Probe, ...]:
    """Return the probes of a location, each after those that it needs."""
    first, after_write = _of_folder() if location.is_folder else _of_service(location)
    return (*first, *after_write, *measuring.PROBES, *operations.AT_THE_END)


def _of_folder() -> tuple[tuple[Probe, ...], tuple[Probe, ...]]:
    first = (*folders.FIRST, *operations.before_others("folder"))
    return first, folders.AFTER_WRITE


def _of_service(location: StoreLocation) -> tuple[tuple[Probe, ...], tuple[Probe, ...]]:
    # A check of a folder, which each run begins with, does without them and half of its start.
    from cm4storage.storage.diagnosis import access, network, object_probes, s3_probes

    container = "bucket" if location.scheme == "s3" else "container"
    if location.server_dir is not None:
        way = (*access.SERVER, *network.PROBES, *access.of_service("server", container))
    else:
        way = (*access.CREDENTIALS, *network.PROBES, *access.of_service("credentials", container))
    after_write = (*object_probes.PROBES, *(s3_probes.PROBES if location.scheme == "s3" else ()))
    return (*way, *operations.before_others(container)), after_write
