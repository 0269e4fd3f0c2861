"""Which probes a location is asked, and in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.storage.diagnosis import (
    access,
    folders,
    measuring,
    network,
    object_probes,
    operations,
    s3_probes,
)

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.findings import Probe
    from cm4storage.storage.location import StoreLocation


def probes_for(location: StoreLocation) -> tuple[Probe, ...]:
    """Return the probes of a location, each after those that it needs."""
    if location.is_folder:
        return (
            *folders.FIRST,
            *operations.before_others("folder"),
            *folders.AFTER_WRITE,
            *measuring.PROBES,
            *operations.AT_THE_END,
        )
    container = "bucket" if location.scheme == "s3" else "container"
    if location.server_dir is not None:
        way = (*access.SERVER, *network.PROBES, *access.of_service("server", container))
    else:
        way = (*access.CREDENTIALS, *network.PROBES, *access.of_service("credentials", container))
    return (
        *way,
        *operations.before_others(container),
        *object_probes.PROBES,
        *(s3_probes.PROBES if location.scheme == "s3" else ()),
        *measuring.PROBES,
        *operations.AT_THE_END,
    )
