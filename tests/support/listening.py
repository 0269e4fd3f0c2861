"""A listener on loopback for as long as a context lasts."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Listener(ABC):
    """Takes one connection after the other.

    Attributes
    ----------
    port : int
        Where it listens.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    @abstractmethod
    def meet(self, link: socket.socket) -> None:
        """Deal with a connection, and close it; the next one waits until this returns."""

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            self.meet(link)
