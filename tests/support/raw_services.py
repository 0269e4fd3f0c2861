"""A service that answers what a test wants, byte for byte."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from listening import Listener

if TYPE_CHECKING:
    import socket


class RawService(Listener):
    """Gives one answer per connection, and the last one again and again.

    Attributes
    ----------
    url : str
        Where it listens.
    requests : list of str
        The heads of the requests so far.
    """

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self._answers = list(answers)
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[str] = []

    def meet(self, link: socket.socket) -> None:
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
