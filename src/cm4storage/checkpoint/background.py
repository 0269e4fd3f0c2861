"""One job at a time in a thread of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

from cm4storage.core.waiting import result_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


class Background(Generic[T]):
    """Runs a job while the caller goes on; the caller asks for its result before the next one."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint-writer")
        self._future: Future[T] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there is a job whose result nobody has asked for."""
        return self._future is not None

    @property
    def is_ready(self) -> bool:
        """Whether there is a result to ask for, without a wait."""
        return self._future is not None and self._future.done()

    def start(self, job: Callable[[], T]) -> None:
        """Begin a job; there must be no other."""
        if self._future is not None:
            raise RuntimeError("the result of the last job was not asked for")
        self._future = self._pool.submit(job)

    def result(self) -> T:
        """Wait for the job, and return its result or raise its error.

        A wait that is interrupted leaves the job: its result can be asked for again.
        """
        if self._future is None:
            raise RuntimeError("there is no job")
        result_of_job = self._future
        try:
            return result_of(result_of_job)
        finally:
            if result_of_job.done():
                self._future = None

    def close(self) -> None:
        """Wait until the thread has ended, whatever becomes of its job."""
        self._pool.shutdown(wait=True)
