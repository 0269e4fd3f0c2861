"""What is asked of a store under faults: each operation, and how its outcome is judged.

`Bench.direct` is a store on the same root that does not pass through the proxy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.storage.store import MissingObject, ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from messages import Request

    from cm4storage.storage.store import Store

SIZE_BYTES: Final = 300_000
PART_BYTES: Final = 5 * 2**20
LARGE_BYTES: Final = PART_BYTES + 1000
SIZES: Final = {"a/1": 10, "a/2": 10, "b/3": 10, "object": SIZE_BYTES}


@dataclass(frozen=True)
class Bench:
    """A store behind the proxy, and the same one without it."""

    store: Store
    direct: Store


def content(size_bytes: int = SIZE_BYTES, seed: int = 0) -> bytes:
    """Return bytes that differ from place to place."""
    block = b"".join(hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in range(1000))
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def prepare(direct: Store) -> None:
    """Write what the operations find."""
    for name, size_bytes in SIZES.items():
        direct.write(name, [memoryview(content(size_bytes))])


def _read(bench: Bench) -> bool:
    with bench.store.read("object") as view:
        return view == content()


def _read_range(bench: Bench) -> bool:
    with bench.store.read("object", start=1000, length=200_000) as view:
        return view == content()[1000:201_000]


def _read_into(bench: Bench) -> bool:
    buffer = bytearray(SIZE_BYTES)
    count = bench.store.read_into("object", memoryview(buffer))
    return count == SIZE_BYTES and buffer == content()


def _scatter(bench: Bench) -> bool:
    buffers = [bytearray(128), bytearray(SIZE_BYTES - 128)]
    count = bench.store.scatter("object", [memoryview(each) for each in buffers])
    return count == SIZE_BYTES and b"".join(buffers) == content()


def _write(bench: Bench) -> bool:
    bench.store.write("new", [memoryview(content(seed=1))])
    return _is_there(bench.direct, "new", content(seed=1))


def _write_parts(bench: Bench) -> bool:
    data = content(LARGE_BYTES, seed=1)
    bench.store.write("large", [memoryview(data)])
    return _is_there(bench.direct, "large", data)


def _is_there(direct: Store, key: str, data: bytes) -> bool:
    with direct.read(key) as view:
        return view == data


def _list(bench: Bench) -> bool:
    return list(bench.store.list()) == [ObjectStat(*item) for item in SIZES.items()]


def _folders(bench: Bench) -> bool:
    return list(bench.store.folders()) == ["a", "b"]


def _stat(bench: Bench) -> bool:
    return bench.store.stat("object") == ObjectStat("object", SIZE_BYTES)


def _delete(bench: Bench) -> bool:
    bench.store.delete("object")
    try:
        bench.direct.stat("object")
    except MissingObject:
        return True
    return False


def _any(_request: Request) -> bool:
    return True


def _is_begin(request: Request) -> bool:
    return request.method == "POST" and "uploads" in request.query


def _is_part(request: Request) -> bool:
    return "partNumber=" in request.query or "comp=block&" in f"{request.query}&"


def _is_end(request: Request) -> bool:
    return (request.method == "POST" and "uploadId=" in request.query) or (
        "comp=blocklist" in request.query
    )


@dataclass(frozen=True)
class Operation:
    """What is done, and which of its requests meet the fault.

    Attributes
    ----------
    works : callable
        Does it, and tells whether all of it came out right.
    meets : callable
        From a request to whether the fault may meet it.
    """

    works: Callable[[Bench], bool]
    meets: Callable[[Request], bool] = _any


OPERATIONS: Final[Mapping[str, Operation]] = {
    "read": Operation(_read),
    "range": Operation(_read_range),
    "read_into": Operation(_read_into),
    "scatter": Operation(_scatter),
    "write": Operation(_write),
    "parts: begin": Operation(_write_parts, _is_begin),
    "parts: a part": Operation(_write_parts, _is_part),
    "parts: end": Operation(_write_parts, _is_end),
    "list": Operation(_list),
    "folders": Operation(_folders),
    "stat": Operation(_stat),
    "delete": Operation(_delete),
}
