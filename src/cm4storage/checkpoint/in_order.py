"""Jobs on several threads, their results in order, and not more of them than are waited for."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from cm4storage.core.waiting import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def in_order(
    make: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int,
    drop: Callable[[R], None],
) -> Iterator[Iterator[R]]:
    """Give the results of ``make(item)``, in the order of the items; two for each thread are ahead.

    Parameters
    ----------
    make : callable
        Called in a thread.
    items : iterable
    threads : int
    drop : callable
        Takes the results that nobody has asked for when the context ends.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="checkpoint")
    ahead: deque[Future[R]] = deque()

    def results() -> Iterator[R]:
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) > 2 * threads:
                yield result_of(ahead.popleft())
        while ahead:
            yield result_of(ahead.popleft())

    try:
        yield results()
    finally:
        for future in ahead:
            future.cancel()
        pool.shutdown(wait=True)
        for future in ahead:
            _drop(future, drop)


def _drop(future: Future[R], drop: Callable[[R], None]) -> None:
    try:
        drop(future.result())
    except (CancelledError, Exception):  # noqa: BLE001 - the first error is on its way already
        return
