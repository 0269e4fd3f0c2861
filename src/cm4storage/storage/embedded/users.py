"""Who uses a server: connections, and the lifelines of runs."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from cm4storage.storage.embedded import wire


class Connection:
    """A user's connection to the supervisor."""

    def __init__(self, link: socket.socket) -> None:
        link.settimeout(2.0)
        self.link = link
        self.inbox = wire.Inbox(link)
        self.asked_kind: str | None = None
        self.is_answered = False

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self.link.fileno()

    def is_same_user(self) -> bool:
        """Tell whether the process at the other end belongs to our user."""
        return wire.peer_user(self.link) == os.geteuid()

    def read(self) -> bool:
        """Take what has arrived; False when the user has gone or talks nonsense."""
        try:
            if not self.inbox.receive():
                return False
            message = self.inbox.next_message()
        except (OSError, ValueError):
            return False
        if message is not None:
            self.asked_kind = str(message.get("kind"))
        return True

    def take_descriptors(self) -> list[int]:
        """Return the descriptors that came along; they are the caller's now."""
        taken, self.inbox.descriptors = self.inbox.descriptors, []
        return taken

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message; a user that has just gone is noticed elsewhere."""
        with contextlib.suppress(OSError):
            wire.send(self.link, message)

    def close(self) -> None:
        """Let the user go."""
        for descriptor in self.take_descriptors():
            os.close(descriptor)
        self.link.close()


class HeldLifeline:
    """The lifeline of a run that uses the server, until its top has ended or says so."""

    def __init__(self, descriptor: int) -> None:
        self._end = socket.socket(fileno=descriptor)
        self.identity = _identity(descriptor)

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._end.fileno()

    def read(self) -> bool:
        """Tell whether the run goes on. The socket is shared, so its mode is left alone."""
        try:
            return self._end.recv(1, socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Let the run go: its top waits for this."""
        self._end.close()


def held_lifeline(descriptor: int) -> HeldLifeline | None:
    """Return the lifeline behind a received descriptor; None for anything else."""
    try:
        return HeldLifeline(descriptor)
    except OSError:
        os.close(descriptor)
        return None


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
