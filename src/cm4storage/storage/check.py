"""Does a location work? One small object is written, read, found, and removed again."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageFault
from cm4storage.storage.opening import open_store
from cm4storage.storage.store import CHECK_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store

_PROBE_BYTES: Final = 64 * 1024
_RANGE: Final = (1000, 5000)
_LAST_ATTEMPT_S: Final = 0.5


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


def check_store(location: StoreLocation, *, share_lifeline: bool = False) -> CheckReport:
    """Try everything that a run needs on a probe object, and leave nothing behind.

    Parameters
    ----------
    location : StoreLocation
        Where.
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
        key = f"cm4storage-probe-{secrets.token_hex(8)}"
        try:
            _try_out(store, key, steps)
        except BaseException as error:
            # Who interrupts the check of a silent service does not want to wait for it again.
            _remove(store, key, None if isinstance(error, Exception) else _LAST_ATTEMPT_S)
            raise
        return CheckReport(store.uri, store.free_bytes(), tuple(steps))


def _remove(store: Store, key: str, limit_s: float | None) -> None:
    """Remove the probe, if that works; wait for it no longer than `limit_s`."""

    def remove() -> None:
        with contextlib.suppress(StorageFault):
            store.delete(key)

    thread = threading.Thread(target=remove, name="remove-probe", daemon=True)
    thread.start()
    thread.join(limit_s)


def _try_out(store: Store, key: str, steps: list[CheckStep]) -> None:
    content = os.urandom(_PROBE_BYTES)
    first, last = _RANGE
    with _timed("write", steps):
        store.write(key, [memoryview(content)])
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
