"""What became of a request to an object service that failed, whichever client sent it."""

from __future__ import annotations

import enum
from typing import Final

_TRANSIENT_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504, 509})


class Kind(enum.Enum):
    """What kind of failure a request met."""

    NO_OBJECT = enum.auto()
    NO_CONTAINER = enum.auto()
    REFUSED = enum.auto()
    NO_CREDENTIALS = enum.auto()
    PAST_THE_END = enum.auto()
    UNREACHABLE = enum.auto()
    UNTRUSTED = enum.auto()
    SILENT = enum.auto()
    BROKEN_OFF = enum.auto()
    DAMAGED = enum.auto()
    ANSWERED = enum.auto()


class ObjectFailure(Exception):
    """A request failed; `cm4storage.storage.objects.faults` turns it into what users read.

    Parameters
    ----------
    kind : Kind
        What it means for the caller.
    message : str
        The client's or the service's own words, without secrets.
    status : int, optional
        The HTTP status, where the service answered.
    code : str
        The service's code, such as ``SlowDown``.

    Attributes
    ----------
    retries : int
        How often the request has been tried again.
    elapsed_s : float
        How long that took.
    is_final : bool
        The request cannot be sent again, whatever failed.
    """

    def __init__(
        self, kind: Kind, message: str, *, status: int | None = None, code: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code
        self.retries = 0
        self.elapsed_s = 0.0
        self.is_final = False

    @property
    def is_transient(self) -> bool:
        """Tell whether the same request may succeed a little later."""
        if self.is_final:
            return False
        if self.kind is Kind.ANSWERED:
            return self.status in _TRANSIENT_STATUS
        return self.kind in (Kind.UNREACHABLE, Kind.SILENT, Kind.BROKEN_OFF, Kind.DAMAGED)
