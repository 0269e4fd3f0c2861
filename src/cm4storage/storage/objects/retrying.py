"""Trying failed requests again: with growing pauses, within a limit, and counted."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from cm4storage.storage.objects.failure import Kind, ObjectFailure

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 4.0
_DAMAGED_RETRIES: Final = 2
"""What differs from its digest three times in a row was not damaged on the way."""


def never() -> bool:
    """Tell that a service may always come back."""
    return False


class Retrier:
    """The retries of one store.

    Parameters
    ----------
    limit_s : float
        How long after its start a request is still tried again.
    is_in_vain : callable
        Tells that nothing can succeed any more.

    Attributes
    ----------
    limit_s : float
        The same.
    count : int
        The retries so far, of all requests.
    """

    def __init__(self, limit_s: float, is_in_vain: Callable[[], bool] = never) -> None:
        self.limit_s = limit_s
        self._is_in_vain = is_in_vain
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self.count = 0

    def call(self, attempt: Callable[[], T], on_retry: Callable[[], None] | None = None) -> T:
        """Return what `attempt` returns; after a transient failure call it again.

        Parameters
        ----------
        attempt : callable
            Sends the request once.
        on_retry : callable, optional
            Called before each attempt but the first, by one thread at a time.

        Raises
        ------
        ObjectFailure
            The last one, with the history of its retries. It is final: who has called another
            retrier in an `attempt` does not begin anew.
        """
        begin, retries, may_have_worked = time.monotonic(), 0, False
        while True:
            try:
                return attempt()
            except ObjectFailure as failure:
                failure.may_have_worked |= may_have_worked
                may_have_worked = failure.may_have_worked
                pause_s = _pause_s(retries)
                elapsed_s = time.monotonic() - begin
                has_time = self._has_time(elapsed_s + pause_s)
                if not has_time or not _may_pass(failure, retries):
                    failure.retries += retries  # to those of an inner retrier
                    failure.elapsed_s, failure.is_final = elapsed_s, True
                    raise
            self._closed.wait(pause_s)
            retries += 1
            self._note(on_retry)

    def close(self) -> None:
        """Let nobody wait any more: what fails now fails for good."""
        self._closed.set()

    def _has_time(self, elapsed_s: float) -> bool:
        is_over = elapsed_s > self.limit_s or self._closed.is_set()
        return not is_over and not self._is_in_vain()

    def _note(self, on_retry: Callable[[], None] | None) -> None:
        with self._lock:
            self.count += 1
            if on_retry is not None:
                on_retry()


def _may_pass(failure: ObjectFailure, retries: int) -> bool:
    if failure.kind is Kind.DAMAGED:
        return retries < _DAMAGED_RETRIES
    return failure.is_transient


def _pause_s(retries: int) -> float:
    """Return the next pause: doubled each time, and spread so that clients do not return at once.

    Exponential backoff with jitter, as the architecture blog of Amazon Web Services recommends.
    """
    longest_s: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(retries, 10))
    return longest_s * random.uniform(0.5, 1.0)
