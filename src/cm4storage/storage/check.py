"""Does a location work? One small object is written, read, found, and removed again."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageFault
from cm4storage.storage import interruptible
from cm4storage.storage.diagnosis.cleaning import clean_in_a_hurry, finding_of
from cm4storage.storage.diagnosis.findings import Finding
from cm4storage.storage.diagnosis.ledger import Ledger
from cm4storage.storage.objects.failure import ObjectFailure
from cm4storage.storage.opening import open_store
from cm4storage.storage.store import CHECK_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store

_PROBE_BYTES: Final = 64 * 1024
_RANGE: Final = (1000, 5000)
# What a file system does not even begin with, neither to write a file nor to remove it.
_REFUSALS: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP}
)
_NOTHING_LEFT: Final = Finding("clean up", "ok")


@dataclass(frozen=True)
class CheckStep:
    """One operation of a check.

    Attributes
    ----------
    name : str
        Such as ``write`` or ``read range``.
    latency_s : float
        How long it took.
    """

    name: str
    latency_s: float


@dataclass(frozen=True)
class CheckReport:
    """A location that works.

    Attributes
    ----------
    uri : str
        The store's root.
    free_bytes : int or None
        The space left, where the backend says.
    steps : tuple of CheckStep
        What was tried, in order.
    """

    uri: str
    free_bytes: int | None
    steps: tuple[CheckStep, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON data, with units in the names."""
        latencies = {step.name.replace(" ", "_"): step.latency_s for step in self.steps}
        return {"uri": self.uri, "free_bytes": self.free_bytes, "latency_s": latencies}


def check_store(
    location: StoreLocation,
    tell_left: Callable[[Finding], None] = lambda _: None,
    *,
    share_lifeline: bool = False,
) -> CheckReport:
    """Try everything that a run needs on a probe object, and leave nothing behind.

    Parameters
    ----------
    location : StoreLocation
        Where.
    tell_left : callable
        Told when a check that fails or is broken off may leave the object behind.
    share_lifeline : bool
        See `open_store`.

    Raises
    ------
    StorageFault
        If a step fails, or returns something else than was written.
    """
    steps: list[CheckStep] = []
    with contextlib.ExitStack() as stack:
        with _timed("open", steps):
            store = stack.enter_context(
                open_store(location, share_lifeline=share_lifeline, retry_limit_s=CHECK_LIMIT_S)
            )
        key, ledger = f"cm4storage-probe-{os.urandom(8).hex()}", Ledger()
        try:
            _try_out(store, key, ledger, steps)
        except BaseException as error:
            is_told = len(steps) > 1 or _may_be_written(error)
            clean_in_a_hurry(
                ledger,
                lambda: ledger.remove_all(store.delete),
                lambda: finding_of(ledger, location, key) if is_told else _NOTHING_LEFT,
                tell_left,
            )
            raise
        return CheckReport(store.uri, store.free_bytes(), tuple(steps))


def _try_out(store: Store, key: str, ledger: Ledger, steps: list[CheckStep]) -> None:
    content = os.urandom(_PROBE_BYTES)
    first, last = _RANGE

    def write() -> None:
        # Who waits may be interrupted; the ledger hears when the writing itself has ended.
        with ledger.writing((key,), lambda: False) as writing, _timed("write", steps):
            store.write(key, writing.pieces(content))

    interruptible.call(write)
    with _timed("read", steps), store.read(key) as view:
        _expect(store, key, "read", view == content)
    with _timed("read range", steps), store.read(key, start=first, length=last - first) as view:
        _expect(store, key, "read range", view == content[first:last])
    with _timed("stat", steps):
        _expect(store, key, "stat", store.stat(key).size_bytes == len(content))
    with _timed("list", steps):
        _expect(store, key, "list", [item.key for item in store.list(key)] == [key])
    with _timed("delete", steps):
        store.delete(key)
    _expect(store, key, "delete", not list(store.list(key)))


def _may_be_written(error: BaseException) -> bool:
    """Tell whether the storage may have the object, though its writing ended in `error`."""
    cause = error.__cause__
    if isinstance(cause, ObjectFailure):
        return cause.may_have_worked
    return not (isinstance(cause, OSError) and cause.errno in _REFUSALS)


@contextlib.contextmanager
def _timed(name: str, steps: list[CheckStep]) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    steps.append(CheckStep(name, time.perf_counter() - begin))


def _expect(store: Store, key: str, step: str, is_right: bool) -> None:
    if not is_right:
        raise StorageFault(
            f"the storage accepted an object, but {step} gives something else back",
            where=f"{store.uri}/{key}",
            meaning="the service does not behave like a file system or S3",
            advice="do not measure on it; try another service",
        )
