"""Free ports for servers that take a second port 10000 above each of theirs."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import Callable

TWIN_OFFSET: Final = 10_000
# With its twin, each is below the range from which Linux takes ports for outgoing connections.
_FIRST: Final = 10_240
_LAST: Final = 22_700
_ATTEMPTS: Final = 2_000


def free_ports(count: int, is_acceptable: Callable[[int], bool] = lambda _: True) -> list[int]:
    """Return `count` loopback ports that are free, as are their twins.

    Parameters
    ----------
    count : int
        How many.
    is_acceptable : callable, optional
        Says whether a free port may be used.

    Raises
    ------
    StorageFault
        If there are too few.
    """
    generator = random.SystemRandom()
    found: list[int] = []
    for _ in range(_ATTEMPTS):
        port = generator.randint(_FIRST, _LAST)
        if port not in found and is_free(port) and is_acceptable(port):
            found.append(port)
            if len(found) == count:
                return found
    raise StorageFault(
        f"no {count} free ports between {_FIRST} and {_LAST} on loopback",
        meaning="other programs listen there",
        advice="stop some of them: `ss -ltnp` names them",
    )


def is_free(port: int) -> bool:
    """Tell whether a loopback port and its twin can be listened on."""
    return _can_listen(port) and _can_listen(port + TWIN_OFFSET)


def _can_listen(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that has just stopped do not keep its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
