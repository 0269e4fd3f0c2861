"""Probes of what a run does to any store: write, read, ranges, lists, overwrites, deletes."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import KIB
from cm4storage.storage.diagnosis.findings import Observation, Probe
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from typing_extensions import Self

    from cm4storage.storage.diagnosis.bench import Bench
    from cm4storage.storage.diagnosis.ledger import Writing
    from cm4storage.storage.store import Store

OBJECT: Final = "object"
CONTENT: Final = os.urandom(64 * KIB)
_RANGE: Final = (1000, 5000)
# In the order of keys that bytes have, not in that of folders or of letters.
_NAMES: Final = ("list/B", "list/a-b", "list/a/b", "list/a0", "list/b")
_VERSION_BYTES: Final = 256 * KIB
_OVERWRITES: Final = 8
# A server that has just started may still look for room.
_FIRST_WRITE_S: Final = 30.0


def _write(bench: Bench) -> Observation:
    key = bench.key(OBJECT)
    with bench.writing(OBJECT) as writing:
        bench.store.write(key, writing.pieces(CONTENT))
    size_bytes = bench.store.stat(key).size_bytes
    expect(bench, key, "the size", is_right=size_bytes == len(CONTENT))
    return Observation("64 KiB, and the size is right")


def _read(bench: Bench) -> Observation:
    key = bench.key(OBJECT)
    with bench.store.read(key) as view:
        expect(bench, key, "reading", is_right=view == CONTENT)
    return Observation("what was written")


def _read_range(bench: Bench) -> Observation:
    key, (first, last) = bench.key(OBJECT), _RANGE
    with bench.store.read(key, start=first, length=last - first) as view:
        expect(bench, key, "reading a range", is_right=view == CONTENT[first:last])
    end = len(CONTENT) - 10
    with bench.store.read(key, start=end, length=100) as view:
        expect(bench, key, "reading past the end", is_right=view == CONTENT[end:])
    return Observation("from the middle, and past the end")


def _list(bench: Bench) -> Observation:
    keys = [bench.key(name) for name in _NAMES]
    with bench.writing(*_NAMES) as writing:
        for key in reversed(writing.keys):
            bench.store.write(key, writing.pieces(b"x"))
    listed = [item.key for item in bench.store.list(f"{bench.folder}/list/")]
    expect(bench, keys[0], "listing", is_right=listed == keys)
    return Observation("complete, and in the order of keys")


def _overwrite(bench: Bench) -> Observation:
    with bench.writing("overwritten") as writing:
        reads = _read_while_overwritten(bench, writing)
    key = bench.key("overwritten")
    with bench.store.read(key) as view:
        expect(bench, key, "reading after it", is_right=view == _version(_OVERWRITES))
    return Observation(f"{_OVERWRITES} times, {reads} reads between: old or new, never a mixture")


def _read_while_overwritten(bench: Bench, writing: Writing) -> int:
    """Return how many reads there were."""
    key, reads = writing.key, 0
    bench.store.write(key, writing.pieces(_version(0)))
    with _Writer(bench.store, writing) as writer:
        while not writer.has_ended or not reads:
            writing.check()
            with bench.store.read(key) as view:
                content = bytes(view)
            reads += 1
            is_whole = len(content) == _VERSION_BYTES and content == content[:1] * _VERSION_BYTES
            expect(bench, key, "reading while it is overwritten", is_right=is_whole)
    writer.raise_error()
    return reads


def _version(number: int) -> bytes:
    return bytes([number]) * _VERSION_BYTES


class _Writer:
    """Overwrites an object several times while others read it; does not outlive its context."""

    def __init__(self, store: Store, writing: Writing) -> None:
        self._store, self._writing = store, writing
        self._error: BaseException | None = None
        self._is_wanted = True
        self._thread = threading.Thread(target=self._run, name="overwrite", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_wanted = kind is None
        self._thread.join()

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for number in range(1, _OVERWRITES + 1):
                if self._is_wanted:
                    pieces = self._writing.pieces(_version(number))
                    self._store.write(self._writing.key, pieces)
        except BaseException as error:  # noqa: BLE001 - raised again by the probe
            self._error = error


def _delete(bench: Bench) -> Observation:
    key = bench.key(OBJECT)
    bench.store.delete(key)
    try:
        bench.store.stat(key)
    except MissingObject:
        pass
    else:
        expect(bench, key, "deleting", is_right=False)
    bench.store.delete(key)
    return Observation("it is gone at once, and deleting what is missing is no error")


def expect(bench: Bench, key: str, action: str, *, is_right: bool) -> None:
    """Refuse a store that does other than it was told.

    Raises
    ------
    StorageFault
        If it is not right.
    """
    if not is_right:
        raise StorageFault(
            f"the storage took the object, but {action} gives something else",
            where=bench.where(key),
            meaning="the service does not behave like a file system or an object service",
            advice="do not measure on it; try another service",
        )


def before_others(gate: str) -> tuple[Probe, ...]:
    """Return the probes that come first; `gate` is the one without which none of them works."""
    return (
        Probe("write", _write, (gate,), limit_s=_FIRST_WRITE_S),
        Probe("read", _read, ("write",)),
        Probe("range", _read_range, ("write",)),
        Probe("list", _list, ("write",)),
        Probe("overwrite", _overwrite, ("write",)),
    )


AT_THE_END: Final = (Probe("delete", _delete, ("write",)),)
