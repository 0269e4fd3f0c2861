"""A service that answers what a test wants, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class RawService:
    """Gives one answer per connection, and the last one again and again.

    Attributes
    ----------
    url : str
        Where it listens.
    requests : list of str
        The heads of the requests so far.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                head = link.recv(65536).decode("latin-1")
                if head:
                    self.requests.append(head)
                    last = len(self._answers) == 1
                    link.sendall(self._answers[0] if last else self._answers.pop(0))


def answer(status: str, body: bytes, *, length: int | None = None, extra: str = "") -> bytes:
    """Return an answer of HTTP that ends the connection."""
    size = len(body) if length is None else length
    head = (
        f'HTTP/1.1 {status}\r\nContent-Length: {size}\r\nETag: "x"\r\n'
        f"Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nConnection: close\r\n{extra}\r\n"
    )
    return head.encode() + body
