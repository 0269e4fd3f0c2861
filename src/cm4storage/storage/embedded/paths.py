"""The files of one embedded server's data folder."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cm4storage.storage.file_faults import file_fault

if TYPE_CHECKING:
    from pathlib import Path

SOCKET_NAME = "supervisor.sock"


@dataclass(frozen=True)
class ServerPaths:
    """Where a data folder keeps what.

    Attributes
    ----------
    folder : Path
        The data folder, absolute. Only its owner may enter it.
    """

    folder: Path

    @property
    def owner_lock(self) -> Path:
        """Held by the supervisor and by its server, so by nobody once both are gone."""
        return self.folder / "supervisor.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the user that starts a supervisor."""
        return self.folder / "start.lock"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens for users."""
        return self.folder / SOCKET_NAME

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor has to say."""
        return self.folder / "log" / "supervisor.log"

    @property
    def server_log(self) -> Path:
        """What the server has to say, without its credentials."""
        return self.folder / "log" / "server.log"

    def prepare(self) -> None:
        """Make the folders, closed to other users.

        Raises
        ------
        StorageFault
            If the file system refuses.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
                self.folder.chmod(0o700)
            for name in ("log", "data"):
                (self.folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise file_fault(
                error, "prepare the embedded server's folder", str(self.folder)
            ) from error
