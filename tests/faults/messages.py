"""HTTP/1.1 messages as the proxy sees them: read as a whole, written in pieces."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import socket
    from io import BufferedReader

_HOP_BY_HOP = ("transfer-encoding", "connection", "keep-alive", "expect")
UPSTREAM_LIMIT_S = 60.0


class Ended(Exception):
    """The other side has closed its connection."""


@dataclass(frozen=True)
class Request:
    """What a client asks for, and how many requests the proxy has seen, this one included."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    number: int = 0

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> str:
        return urlsplit(self.target).query


@dataclass(frozen=True)
class Answer:
    """What the service says to it."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False, default=b"")

    @property
    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def header(self, name: str) -> str:
        return next((v for n, v in self.headers if n.lower() == name.lower()), "")

    def with_header(self, name: str, value: str) -> Answer:
        kept = tuple(each for each in self.headers if each[0].lower() != name.lower())
        return replace(self, headers=(*kept, (name, value)))


def read_request(stream: BufferedReader, link: socket.socket) -> Request:
    """Read one request with its whole body."""
    line = stream.readline(65536)
    if not line:
        raise Ended
    method, target, _ = line.decode("latin-1").split(" ", 2)
    fields = http.client.parse_headers(stream)
    if "100-continue" in fields.get("Expect", "").lower():
        link.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in fields.get("Transfer-Encoding", "").lower():
        body = _chunked(stream)
    else:
        size = int(fields.get("Content-Length", "0"))
        body = stream.read(size)
        if len(body) < size:
            raise Ended
    return Request(method, target, tuple(fields.items()), body)


def _chunked(stream: BufferedReader) -> bytes:
    parts = []
    while size := int(stream.readline().split(b";")[0], 16):
        parts.append(stream.read(size))
        stream.readline()
    while stream.readline().strip():
        pass
    return b"".join(parts)


def forward(request: Request, host: str, port: int) -> Answer:
    """Send a request on and return the answer; the Host header stays as the client signed it."""
    connection = http.client.HTTPConnection(host, port, timeout=UPSTREAM_LIMIT_S)
    try:
        _send(connection, request, len(request.body))
        connection.send(request.body)
        answer = connection.getresponse()
        body = answer.read()
        headers = tuple(
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in (*_HOP_BY_HOP, "content-length")
        )
        is_head = request.method == "HEAD"
        length = answer.getheader("Content-Length", "0") if is_head else str(len(body))
        if answer.status != http.client.NO_CONTENT:
            headers += (("Content-Length", length),)
        return Answer(answer.status, answer.reason, headers, body)
    finally:
        connection.close()


def forward_half(request: Request, host: str, port: int) -> None:
    """Send the head and half of the body on, and break the connection off."""
    connection = http.client.HTTPConnection(host, port, timeout=UPSTREAM_LIMIT_S)
    try:
        _send(connection, request, len(request.body))
        connection.send(request.body[: len(request.body) // 2])
    finally:
        connection.close()


def _send(connection: http.client.HTTPConnection, request: Request, length: int) -> None:
    connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        if name.lower() not in (*_HOP_BY_HOP, "content-length"):
            connection.putheader(name, value)
    if request.body or request.method in ("PUT", "POST"):
        connection.putheader("Content-Length", str(length))
    connection.putheader("Connection", "close")
    connection.endheaders()
