"""The kinds of embedded servers: how each is started, filled and told about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.storage.embedded import azurite, azurite_install, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cm4storage.storage.embedded.process import ServerKind

    Access = Mapping[str, str]


@dataclass(frozen=True)
class Kind:
    """What differs between the kinds.

    Attributes
    ----------
    title : str
        How messages call the service.
    container : str
        How the service calls what holds objects.
    start : callable
        Makes one start of a server on a data folder, in the supervisor.
    install : callable
        Brings the server onto this machine where it comes from outside the Python packages, in the
        user's process: that has the proxies and certificates for it.
    make_container : callable
        Makes a bucket or container; returns the HTTP status.
    exports : callable
        The variables by which other tools reach the server.
    """

    title: str
    container: str
    start: Callable[[Path], ServerKind]
    install: Callable[[], None]
    make_container: Callable[[Access, str], int]
    exports: Callable[[Access], dict[str, str]]


def _nothing_to_install() -> None:
    """Do nothing: the program comes with a Python package, and its absence is told at the start."""


KINDS: Final[Mapping[str, Kind]] = {
    "s3": Kind(
        "S3",
        "bucket",
        seaweedfs.SeaweedFS,
        _nothing_to_install,
        seaweedfs.make_bucket,
        seaweedfs.exports,
    ),
    "azure": Kind(
        "Azure",
        "container",
        azurite.Azurite,
        azurite_install.ensure_azurite,
        azurite.make_container,
        azurite.exports,
    ),
}


def title_of(kind: str) -> str:
    """Return how messages call a kind, which may be unknown."""
    return KINDS[kind].title if kind in KINDS else kind
