"""``cm4storage serve KIND``: an embedded server in the foreground."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
from typing import TYPE_CHECKING, TextIO

from cm4storage.core.errors import StorageFault
from cm4storage.core.waiting import TURN_S
from cm4storage.storage.embedded.client import EmbeddedServer, connect
from cm4storage.storage.embedded.logs import tail
from cm4storage.storage.embedded.paths import ServerPaths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve_foreground(
    server_dir: Path, console: TextIO, *, kind: str = "s3", show_credentials: bool | None = None
) -> None:
    """Run the server of `server_dir` until Ctrl-C or SIGTERM; call it from the main thread.

    Parameters
    ----------
    server_dir : Path
        The server's data folder.
    console : TextIO
        Where to say how the server is reached.
    show_credentials : bool, optional
        Whether to print the credentials. By default only to a terminal, so that they get into no
        log file.

    Raises
    ------
    StorageFault
        If the server does not start, or dies.
    """
    shows = console.isatty() if show_credentials is None else show_credentials
    # While the server starts, a signal ends the wait for it as it ends every other.
    with connect(server_dir, kind) as server, _signals_as_bytes() as stop:
        console.write(_announcement(server, shows_credentials=shows))
        console.flush()
        ready: list[int] = []
        while not ready:  # in turns: a signal an instant before the call does not end it
            ready, _, _ = select.select([stop, server.fileno()], [], [], TURN_S)
        if stop not in ready:
            raise StorageFault(
                f"the embedded {server.kind.title} server has stopped",
                where=str(server_dir),
                meaning=tail(ServerPaths(server_dir).server_log),
            )
        console.write("stopping\n")
        console.flush()
        server.close()  # a second Ctrl-C must not break it off


def _announcement(server: EmbeddedServer, *, shows_credentials: bool) -> str:
    kind = server.kind
    where = f"{kind.title} endpoint {server.endpoint_url}, {kind.container} {server.bucket}"
    lines = [f"{where}; Ctrl-C stops it"]
    if shows_credentials:
        exports = server.exports()
        lines += [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    else:
        lines.append("the credentials are shown on a terminal, or with --show_credentials")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _signals_as_bytes() -> Iterator[int]:
    """Turn SIGINT and SIGTERM into bytes that the yielded descriptor receives."""
    reader, writer = os.pipe()

    def note(*_: object) -> None:
        os.write(writer, b"x")

    previous = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield reader
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
