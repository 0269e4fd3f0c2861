"""A proxy that harms what passes through it: in front of a real service, by a script.

It stands between a client and an HTTP service on loopback. The script says for each request which
`Fault` it meets, if any. The Host header passes unchanged, since SigV4 and Azure's signatures are
made over it.
"""

from __future__ import annotations

import contextlib
import enum
import random
import socket
import struct
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from messages import Answer, Ended, Request, forward, forward_half, read_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    Script = Callable[[Request], "Fault | None"]


class Fault(enum.Enum):
    """What may happen to a request; the texts are those of the table."""

    REFUSED = "connection reset before the request is read on"
    LOST_ANSWER = "carried out, but the answer is lost"
    CUT_ANSWER = "answer: reset in the middle"
    SHORT_ANSWER = "answer: ends early, Content-Length is that of all"
    SMALLER_ANSWER = "answer: cut, and Content-Length and range say so"
    FLIPPED_ANSWER = "answer: one byte flipped"
    SLOW_START = "answer: first byte late, within the limit"
    SLOW_MIDDLE = "answer: pause in the middle, within the limit"
    SILENT_START = "answer: never begins"
    SILENT_MIDDLE = "answer: stalls in the middle for good"
    ERROR_500 = "500 InternalError"
    ERROR_503 = "503 SlowDown"
    ERROR_503_HTML = "503 with a page for people"
    ERROR_IN_200 = "200 with an error in it"
    CUT_REQUEST = "request: reset in the middle"
    SMALLER_REQUEST = "request: cut, and Content-Length says so"
    FLIPPED_REQUEST = "request: one byte flipped"


IN_REQUESTS = (Fault.CUT_REQUEST, Fault.SMALLER_REQUEST, Fault.FLIPPED_REQUEST)
_NEEDS_A_BODY = (Fault.SMALLER_ANSWER, Fault.FLIPPED_ANSWER, Fault.SILENT_MIDDLE)
_ERRORS = {
    Fault.ERROR_500: (500, "Internal Server Error", "InternalError"),
    Fault.ERROR_503: (503, "Slow Down", "SlowDown"),
    Fault.ERROR_503_HTML: (503, "Service Unavailable", ""),
    Fault.ERROR_IN_200: (200, "OK", "InternalError"),
}


def nothing(_request: Request) -> Fault | None:
    """Let everything pass."""
    return None


def everything(_request: Request) -> bool:
    """Let a fault meet any request."""
    return True


def first(fault: Fault, meets: Callable[[Request], bool] = everything, count: int = 1) -> Script:
    """Harm the first `count` requests that the fault applies to and may meet."""
    left = iter(range(count))

    def script(request: Request) -> Fault | None:
        is_meant = applies(fault, request) and meets(request)
        return fault if is_meant and next(left, None) is not None else None

    return script


def always(fault: Fault, meets: Callable[[Request], bool] = everything) -> Script:
    """Harm every request that the fault applies to and may meet."""
    return lambda request: fault if applies(fault, request) and meets(request) else None


def some(faults: tuple[Fault, ...], share: float, seed: int) -> Script:
    """Harm this share of the requests, each by one of `faults`; the same seed does the same."""

    def script(request: Request) -> Fault | None:
        chance = random.Random(f"{seed}/{request.number}")
        fault = chance.choice(faults)
        return fault if chance.random() < share and applies(fault, request) else None

    return script


def applies(fault: Fault, request: Request) -> bool:
    """Tell whether a request has what the fault harms."""
    if fault in IN_REQUESTS:
        return bool(request.body)
    if fault is Fault.ERROR_IN_200:  # as S3 answers what takes long, and nothing else
        return request.method == "POST"
    return not (fault in _NEEDS_A_BODY and request.method in ("HEAD", "DELETE"))


class FaultyProxy:
    """The proxy; a context manager.

    Attributes
    ----------
    script : callable
        May be replaced at any time.
    pause_s : float
        How long the slow faults take.
    seen : list of Request
        All requests so far, without bodies.
    harmed : list of Fault
        What was done to them so far.
    """

    def __init__(self, upstream_url: str, script: Script = nothing, pause_s: float = 0.2) -> None:
        parts = urlsplit(upstream_url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.script, self.pause_s = script, pause_s
        self.seen: list[Request] = []
        self.harmed: list[Fault] = []
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for link in self._links:
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "the proxy does not end"

    def _start(self, function: Callable[..., None], *args: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=function, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._links.add(link)
            self._start(self._serve, link)

    def _serve(self, link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, Ended, ValueError), link, link.makefile("rb") as stream:
            try:
                while not self._closed.is_set():
                    self._handle(link, read_request(stream, link))
            finally:
                with self._lock:
                    self._links.discard(link)

    def _handle(self, link: socket.socket, request: Request) -> None:
        with self._lock:
            request = replace(request, number=len(self.seen) + 1)
            self.seen.append(replace(request, body=b""))
            fault = self.script(request)
            self.harmed += [fault] if fault else []
        if fault is None:
            link.sendall(_whole(self._forward(request)))
        elif fault in IN_REQUESTS:
            self._harm_request(link, request, fault)
        elif fault in _ERRORS:
            link.sendall(_whole(_error(fault)))
        elif fault is Fault.REFUSED:
            _reset(link)
        else:
            self._harm_answer(link, self._forward(request), fault)

    def _forward(self, request: Request) -> Answer:
        return forward(request, self._host, self._port)

    def _harm_request(self, link: socket.socket, request: Request, fault: Fault) -> None:
        if fault is Fault.CUT_REQUEST:
            forward_half(request, self._host, self._port)
            _reset(link)
        half = len(request.body) // 2
        body = request.body[:half] if fault is Fault.SMALLER_REQUEST else flipped(request.body)
        link.sendall(_whole(self._forward(replace(request, body=body))))

    def _harm_answer(self, link: socket.socket, answer: Answer, fault: Fault) -> None:
        if fault is Fault.LOST_ANSWER:
            _reset(link)
        if fault is Fault.SILENT_START:
            self._fall_silent()
        if fault is Fault.SLOW_START:
            self._closed.wait(self.pause_s)
        if fault is Fault.SMALLER_ANSWER:
            answer = _smaller(answer)
        if fault is Fault.FLIPPED_ANSWER:
            answer = replace(answer, body=flipped(answer.body))
        whole = _whole(answer)
        middle = len(whole) - len(answer.body) // 2 if answer.body else len(whole) // 2
        link.sendall(whole[:middle])
        if fault is Fault.CUT_ANSWER:
            _reset(link)
        if fault is Fault.SHORT_ANSWER:
            raise Ended
        if fault is Fault.SILENT_MIDDLE:
            self._fall_silent()
        if fault is Fault.SLOW_MIDDLE:
            self._closed.wait(self.pause_s)
        link.sendall(whole[middle:])

    def _fall_silent(self) -> None:
        self._closed.wait()
        raise Ended


def flipped(body: bytes) -> bytes:
    """Return `body` with one bit of its middle byte flipped."""
    harmed = bytearray(body)
    if harmed:
        harmed[len(harmed) // 2] ^= 1
    return bytes(harmed)


def _whole(answer: Answer) -> bytes:
    return answer.head + answer.body


def _smaller(answer: Answer) -> Answer:
    body = answer.body[: len(answer.body) // 2]
    said = answer.header("Content-Range")  # such as: bytes 0-99/100
    if said:
        place, _, total = said.partition("/")
        begin = int(place.removeprefix("bytes ").partition("-")[0])
        answer = answer.with_header(
            "Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{total}"
        )
    return replace(answer.with_header("Content-Length", str(len(body))), body=body)


def _error(fault: Fault) -> Answer:
    status, reason, code = _ERRORS[fault]
    text = "<html><body>come back later</body></html>"
    if code:
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>by the proxy</Message></Error>"
        )
    body = text.encode()
    kind = "application/xml" if code else "text/html"
    headers = (("Content-Type", kind), ("Content-Length", str(len(body))))
    return Answer(status, reason, headers, body)


def _reset(link: socket.socket) -> None:
    """Close with a reset in place of an orderly end."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Ended
