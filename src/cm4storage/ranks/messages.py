"""Messages between the ranks of one machine and the process that started them.

A message is a JSON object behind its length, four bytes in network order.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import (
    ExitCode,
    InternalError,
    StorageBenchmarkError,
    StorageFault,
    UserError,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

_LENGTH: Final = struct.Struct("!I")
_AT_ONCE: Final = 2**16

_ERRORS: Final[dict[int, type[StorageBenchmarkError]]] = {
    ExitCode.USER: UserError,
    ExitCode.USAGE: UserError,
    ExitCode.STORAGE: StorageFault,
}


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message, whole."""
    text = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(text)) + text)


class Inbox:
    """Takes bytes from a connection and gives messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._bytes = bytearray()

    def receive(self) -> bool:
        """Take what is there, waiting for the first byte; False at the end of the connection."""
        try:
            came = self._connection.recv(_AT_ONCE)
        except ConnectionError:
            return False
        self._bytes += came
        return bool(came)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that have come whole, each once."""
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            text = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield json.loads(text)


def error_message(error: StorageBenchmarkError) -> dict[str, Any]:
    """Return the message that tells of an error."""
    return {
        "kind": "error",
        "exit_code": int(error.exit_code),
        "what": error.what,
        "where": error.where,
        "meaning": error.meaning,
        "advice": error.advice,
    }


def error_of(message: dict[str, Any], rank: str = "") -> StorageBenchmarkError:
    """Return the error that a message tells of, with the name of the rank it came from."""
    kind = _ERRORS.get(message["exit_code"], InternalError)
    where = ": ".join(filter(None, [rank, message["where"]]))
    return kind(message["what"], where=where, meaning=message["meaning"], advice=message["advice"])
