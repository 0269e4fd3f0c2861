"""Azurite as the embedded Azure server: its command, its environment, its readiness."""

from __future__ import annotations

import base64
import os
import secrets
import signal
from typing import TYPE_CHECKING, Final

from cm4storage.storage.embedded import shared_key
from cm4storage.storage.embedded.azurite_install import find_azurite, find_node
from cm4storage.storage.embedded.ports import free_ports
from cm4storage.storage.location import EMBEDDED_BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Azurite keeps objects by account: another name at the next start would hide them.
_ACCOUNT: Final = "cm4storage"
_KEY_BYTES: Final = 64
_KEPT_VARIABLES: Final = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH")
_NEW_CONTAINER: Final = {"restype": "container"}


class Azurite:
    """One start of Azurite's blob service on a data folder: a fresh port, a fresh key.

    Parameters
    ----------
    folder : Path
        The data folder, which is also the server's working directory.
    """

    title = "Azure"
    # It keeps its index in memory and writes it every 5 s, and when it is asked to end.
    death_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = [find_node(), str(find_azurite())]
        [self._port] = free_ports(1)
        self._key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()

    @property
    def command(self) -> list[str]:
        """The command line; the key is not in it."""
        return [
            *self._program,
            "--silent",  # its access log would grow with each request
            "--disableTelemetry",
            "--skipApiVersionCheck",  # clients are newer than it
            "--blobHost=127.0.0.1",
            f"--blobPort={self._port}",
            "--location=data",
        ]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment: no configuration of the user's gets in, no proxy either."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return kept | {
            "HOME": str(self._folder),
            "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{self._key}",
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not get into a log."""
        return (self._key,)

    @property
    def access(self) -> dict[str, str]:
        """What users are told."""
        return {
            "endpoint_url": f"http://127.0.0.1:{self._port}/{_ACCOUNT}",
            "bucket": EMBEDDED_BUCKET,
            "access_key_id": _ACCOUNT,
            "secret_access_key": self._key,
        }

    def prepare(self) -> None:
        """Do nothing: the data folder is all that it needs."""

    def is_ready(self) -> bool:
        """Tell whether the server answers a signed request, which also makes its container."""
        try:
            return make_container(self.access, EMBEDDED_BUCKET, 2.0) in (201, 409)
        except OSError:
            return False

    def clean_up(self) -> None:
        """Do nothing: all that it leaves is in the folder."""


def exports(access: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which Azure's tools reach the server."""
    account, key = access["access_key_id"], access["secret_access_key"]
    return {
        "AZURE_STORAGE_CONNECTION_STRING": (
            f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
            f"BlobEndpoint={access['endpoint_url']};"
        ),
    }


def make_container(access: Mapping[str, str], name: str, timeout_s: float = 10.0) -> int:
    """Make a container on an embedded server; return the status, 409 where it is there.

    Raises
    ------
    OSError
        If the server cannot be reached.
    """
    return shared_key.request(
        "PUT",
        access["endpoint_url"],
        name,
        access["access_key_id"],
        access["secret_access_key"],
        query=_NEW_CONTAINER,
        timeout_s=timeout_s,
    )
