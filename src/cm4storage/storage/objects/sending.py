"""The parts of one large object on their way through clients that send them one by one."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from cm4storage.storage.objects.client import CONCURRENT_PARTS
from cm4storage.storage.objects.failure import Kind, ObjectFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")


class Parts(Generic[T]):
    """Sends parts, some at a time; the memory of no more than those is held.

    A context: none is on its way when it ends, and after a failure none is tried again. Otherwise
    a part could reach the service after the upload has been given up, and stay there for good.

    Parameters
    ----------
    upload : callable
        Sends one part once, by its number from 1 on and its bytes.
    repeat : callable
        Calls a request, again and again where that helps.

    Attributes
    ----------
    results : list
        What `upload` has returned of each part, in their order; complete after the context.
    """

    def __init__(
        self, upload: Callable[[int, bytearray], T], repeat: Callable[[Callable[[], T]], T]
    ) -> None:
        self._upload = upload
        self._repeat = repeat
        self._under_way: deque[_Sending[T]] = deque()
        self._is_given_up = threading.Event()
        self._count = 0
        self.results: list[T] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while error is None and self._under_way:
                self._collect()
        finally:
            self._is_given_up.set()
            for each in self._under_way:
                with contextlib.suppress(Exception):  # the first error tells more
                    each.result()

    def add(self, body: bytearray) -> None:
        """Send the next part; wait for the oldest one if too many are under way."""
        if len(self._under_way) == CONCURRENT_PARTS:
            self._collect()
        self._count += 1
        number = self._count
        self._under_way.append(_Sending(lambda: self._send(number, body)))

    def _collect(self) -> None:
        self.results.append(self._under_way.popleft().result())

    def _send(self, number: int, body: bytearray) -> T:
        def request() -> T:
            if self._is_given_up.is_set():
                failure = ObjectFailure(Kind.BROKEN_OFF, "the upload was given up")
                failure.is_final = True
                raise failure
            return self._upload(number, body)

        return self._repeat(request)


class _Sending(Generic[T]):
    """One part on its way, in a thread that does not keep the process from ending."""

    def __init__(self, send: Callable[[], T]) -> None:
        self._sent: list[T] = []
        self._error: Exception | None = None

        def run() -> None:
            try:
                self._sent.append(send())
            except Exception as error:  # noqa: BLE001 - raised where the result is asked for
                self._error = error

        self._thread = threading.Thread(target=run, name="upload-part", daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Wait for the part, and return what became of it."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._sent[0]
