"""The parts of one large object on their way through boto3."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from cm4storage.storage.objects.failure import Kind, ObjectFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    Repeat = Callable[[Callable[[], dict[str, Any]]], dict[str, Any]]

_CONCURRENT_PARTS: Final = 4


class Parts:
    """Sends parts, some at a time; the memory of no more than those is held.

    A context: none is on its way when it ends, and after a failure none is tried again. Otherwise
    a part could reach the service after the upload has been given up, and stay there for good.

    Parameters
    ----------
    upload : callable
        Sends one part once, by its ``PartNumber`` and its ``Body``.
    repeat : callable
        Calls a request, again and again where that helps.
    """

    def __init__(self, upload: Callable[..., dict[str, Any]], repeat: Repeat) -> None:
        self._upload = upload
        self._repeat = repeat
        self._under_way: deque[_Sending] = deque()
        self._is_given_up = threading.Event()
        self._count = 0
        self.tags: list[dict[str, Any]] = []
        """What the service needs to put the parts in their places; complete after the context."""

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
        if len(self._under_way) == _CONCURRENT_PARTS:
            self._collect()
        self._count += 1
        number = self._count
        self._under_way.append(_Sending(lambda: self._send(number, body)))

    def _collect(self) -> None:
        self.tags.append(self._under_way.popleft().result())

    def _send(self, number: int, body: bytearray) -> dict[str, Any]:
        def request() -> dict[str, Any]:
            if self._is_given_up.is_set():
                failure = ObjectFailure(Kind.BROKEN_OFF, "the upload was given up")
                failure.is_final = True
                raise failure
            return self._upload(PartNumber=number, Body=body)

        return {"PartNumber": number, "ETag": self._repeat(request)["ETag"]}


class _Sending:
    """One part on its way, in a thread that does not keep the process from ending."""

    def __init__(self, send: Callable[[], dict[str, Any]]) -> None:
        self._outcome: dict[str, Any] | Exception | None = None

        def run() -> None:
            try:
                self._outcome = send()
            except Exception as error:  # noqa: BLE001 - raised where the result is asked for
                self._outcome = error

        self._thread = threading.Thread(target=run, name="upload-part", daemon=True)
        self._thread.start()

    def result(self) -> dict[str, Any]:
        """Wait for the part, and return what the service needs to put it in its place."""
        self._thread.join()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome or {}
