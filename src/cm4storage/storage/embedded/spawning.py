"""Starting a supervisor: detached, in its own session, with one connection and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cm4storage
from cm4storage.core.units import MIB
from cm4storage.storage.embedded.azurite_install import FOLDER_VARIABLE

if TYPE_CHECKING:
    from cm4storage.storage.embedded.paths import ServerPaths

_KEPT_VARIABLES: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "XDG_CACHE_HOME",
    FOLDER_VARIABLE,
)


def spawn(paths: ServerPaths, kind: str) -> socket.socket:
    """Start a supervisor and return a connection to it.

    The supervisor is born with this connection, so it never runs without a user.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs, _open_log(paths.supervisor_log) as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "cm4storage.storage.embedded",
                    f"--kind={kind}",
                    f"--connection={theirs.fileno()}",
                    str(paths.folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            process.wait()  # it forks at once and lets go of us
    except BaseException:
        ours.close()
        raise
    return ours


def _open_log(path: Path) -> _Log:
    return _Log(path)


class _Log:
    """The supervisor's log, started again when it has grown large."""

    def __init__(self, path: Path) -> None:
        large = path.exists() and path.stat().st_size > MIB
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags | (os.O_TRUNC if large else 0), 0o600)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _environment() -> dict[str, str]:
    """Keep what an interpreter needs to start; no credentials, proxies or lifelines."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    root = Path(cm4storage.__file__).resolve().parents[1]
    if root.name not in ("site-packages", "dist-packages"):
        kept["PYTHONPATH"] = str(root)  # the same source as ours, not another installed copy
    return kept
