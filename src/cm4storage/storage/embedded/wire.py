"""How users and the supervisor of a data folder talk: JSON lines over a Unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from cm4storage.storage.embedded.paths import SOCKET_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_MESSAGE_BYTES: Final = 64 * 1024
_UCRED: Final = struct.Struct("3i")


@contextlib.contextmanager
def _short_address(folder: Path) -> Iterator[str]:
    """Give the socket in `folder` an address that fits into the 108 bytes of ``sun_path``."""
    if sys.platform != "linux":
        yield str(folder / SOCKET_NAME)
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


def listen(folder: Path) -> socket.socket:
    """Listen in `folder`, in place of a socket that a killed supervisor left."""
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_address(folder) as address:
            listener.bind(address)
        (folder / SOCKET_NAME).chmod(0o600)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def join(folder: Path) -> socket.socket | None:
    """Connect to the supervisor of `folder`; None when nobody listens."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_address(folder) as address:
            link.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
        link.close()
        return None
    except BaseException:
        link.close()
        raise
    return link


def peer_user(link: socket.socket) -> int:
    """Return the user id of the process at the other end."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()  # the folder's mode is all there is
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(credentials)[1])


def send(link: socket.socket, message: dict[str, Any], descriptor: int | None = None) -> None:
    """Send one message, and a duplicate of `descriptor` with it."""
    line = json.dumps(message).encode() + b"\n"
    if descriptor is None:
        link.sendall(line)
    else:
        sent = socket.send_fds(link, [line], [descriptor])
        link.sendall(line[sent:])


class Inbox:
    """Puts the messages of one connection together.

    Attributes
    ----------
    descriptors : list of int
        What came along and nobody has taken yet.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._pending = b""
        self.descriptors: list[int] = []

    def receive(self) -> bool:
        """Take what has arrived; False at the end of the connection."""
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        data, descriptors, _, _ = socket.recv_fds(self._link, 4096, 4, flags)
        self.descriptors += descriptors
        self._pending += data
        return bool(data) and len(self._pending) <= _MAX_MESSAGE_BYTES

    def next_message(self) -> dict[str, Any] | None:
        """Return the next complete message, or None.

        Raises
        ------
        ValueError
            If it is not a JSON object.
        """
        line, newline, rest = self._pending.partition(b"\n")
        if not newline:
            return None
        self._pending = rest
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a message is a JSON object")  # noqa: TRY004 - it came over a socket
        return message

    def wait_for_message(self) -> dict[str, Any] | None:
        """Block until a message is there; None when the connection ends first."""
        while (message := self.next_message()) is None:
            if not self.receive():
                return None
        return message
