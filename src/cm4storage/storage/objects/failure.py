"""What became of a request to an object service that failed, whichever client sent it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_TRANSIENT_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504, 509})
_REQUEST_TIMEOUT: Final = 408
_REFUSED_STATUS: Final = range(400, 500)


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


# After these the service has certainly not done what was asked for.
_CERTAIN: Final = frozenset(
    {
        *(Kind.NO_OBJECT, Kind.NO_CONTAINER, Kind.REFUSED, Kind.NO_CREDENTIALS),
        *(Kind.PAST_THE_END, Kind.UNREACHABLE, Kind.UNTRUSTED),
    }
)


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
    may_have_worked : bool
        The service may have done, or may still do, what was asked for: this time or an earlier one.
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
        self.may_have_worked = kind not in _CERTAIN and not self._is_answered_with_refusal

    @property
    def is_transient(self) -> bool:
        """Tell whether the same request may succeed a little later."""
        if self.is_final:
            return False
        if self.kind is Kind.ANSWERED:
            return self.status in _TRANSIENT_STATUS
        return self.kind in (Kind.UNREACHABLE, Kind.SILENT, Kind.BROKEN_OFF, Kind.DAMAGED)

    @property
    def _is_answered_with_refusal(self) -> bool:
        is_refusal = self.status in _REFUSED_STATUS and self.status != _REQUEST_TIMEOUT
        return self.kind is Kind.ANSWERED and is_refusal


KINDS_BY_STATUS: Final = {
    401: Kind.REFUSED,
    403: Kind.REFUSED,
    404: Kind.NO_OBJECT,
    416: Kind.PAST_THE_END,
}
"""What a status says by itself; any other is `Kind.ANSWERED`."""

LONGEST_MESSAGE: Final = 300
"""How many characters of a library's own words are shown; secrets go before they are cut."""


class Translated:
    """A context that turns what a library raises into an `ObjectFailure`; it may be used again.

    Parameters
    ----------
    read : callable
        Makes the failure of an error; raises what is a defect.
    errors : type or tuple of types
        What is read; anything else passes.
    """

    def __init__(
        self,
        read: Callable[[Exception], ObjectFailure],
        errors: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> None:
        self._read = read
        self._errors = errors

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, self._errors) and not isinstance(error, ObjectFailure):
            raise self._read(error) from error
