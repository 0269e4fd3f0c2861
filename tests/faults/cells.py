"""The cells of the fault table: one fault, one operation, once or every time."""

from __future__ import annotations

import contextlib
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from operations import OPERATIONS, Bench, prepare
from proxy import Fault, FaultyProxy, always, first

from cm4storage.core.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.objects.store import ObjectStore

TURNS: Final = ("once", "always")
LIMITS_S: Final = {"once": 60.0, "always": 0.4}
"""How long the stores try again: what passes is never given up, what stays soon is."""
SILENCE_S: Final = 3.0
"""The read timeout that the stores of the table are given."""
HANG_S: Final = 150.0
_AT_A_TIME: Final = 12
_numbers = itertools.count()


class World(Protocol):
    """A service and a client to be tried: what an implementation for another one provides."""

    name: str
    endpoint_url: str

    def store(self, endpoint_url: str, prefix: str, retry_limit_s: float) -> ObjectStore:
        """Return a store at another URL of the service, which waits for `SILENCE_S` at most."""

    def direct(self, prefix: str) -> ObjectStore:
        """Return a patient store on the service itself."""


@dataclass(frozen=True)
class Cell:
    """One cell: which fault, which operation, which turn."""

    fault: Fault
    operation: str
    turn: str

    def __str__(self) -> str:
        return f"{self.fault.name}-{self.operation}-{self.turn}"


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    kind : str
        ``right``, ``error``, ``WRONG``, ``not seen`` as `NOT_SEEN` says, or ``-`` where the fault
        does not apply.
    text : str
        The error, or how often the request was sent again.
    elapsed_s : float
    """

    kind: str
    text: str
    elapsed_s: float


CELLS: Final = [
    Cell(fault, operation, turn) for fault in Fault for operation in OPERATIONS for turn in TURNS
]


_UPLOADS = ("parts: a part",)
_BARE = ("range", "list", "folders")
NOT_SEEN: Final = frozenset(
    {
        *((Fault.FLIPPED_ANSWER, operation) for operation in _BARE),
        *((Fault.FLIPPED_REQUEST, operation) for operation in _UPLOADS),
    }
)
"""A part of an object, and a listing, have no digest; what is written in parts has none beside it.

What this means for a data set is in the guide, and in `test_verification`.
"""


def run_all(world: World) -> dict[Cell, Outcome]:
    """Try all cells, some at a time: most wait."""
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="cell") as pool:
        return dict(zip(CELLS, pool.map(lambda cell: run(world, cell), CELLS), strict=True))


def run(world: World, cell: Cell) -> Outcome:
    """Try one cell on a root of its own."""
    meets = OPERATIONS[cell.operation].meets
    script = (first if cell.turn == "once" else always)(cell.fault, meets)
    prefix = f"cells/{next(_numbers)}"
    with bench_of(world, prefix, LIMITS_S[cell.turn]) as (bench, proxy):
        prepare(bench.direct)
        proxy.script = script
        begin = time.monotonic()
        kind, text = _judged(OPERATIONS[cell.operation].works, bench)
        elapsed_s = time.monotonic() - begin
        if not proxy.harmed:
            kind = "-" if kind == "right" else kind
        elif (cell.fault, cell.operation) in NOT_SEEN and kind != "error":
            kind = "not seen"
    return Outcome(kind, text, elapsed_s)


@contextlib.contextmanager
def bench_of(
    world: World, prefix: str, retry_limit_s: float
) -> Iterator[tuple[Bench, FaultyProxy]]:
    """Give stores with and without a proxy between, which lets everything pass at first."""
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(FaultyProxy(world.endpoint_url))
        bench = Bench(world.store(proxy.url, prefix, retry_limit_s), world.direct(prefix))
        stack.callback(bench.direct.close)
        stack.callback(bench.store.close)
        yield bench, proxy


def _judged(operation: Callable[[Bench], bool], bench: Bench) -> tuple[str, str]:
    try:
        is_right = operation(bench)
    except StorageFault as fault:
        return "error", str(fault)
    except Exception as error:  # noqa: BLE001 - users would see a traceback
        return "WRONG", f"{type(error).__name__}: {error}"
    retries = bench.store.retries  # type: ignore[attr-defined]
    return ("right" if is_right else "WRONG"), (f"{retries} retried" if retries else "")


def as_table(outcomes: dict[Cell, Outcome], turn: str) -> str:
    """Return the outcomes of one turn as a table in Markdown."""
    rows = [["fault", *OPERATIONS], ["---"] * (len(OPERATIONS) + 1)]
    for fault in Fault:
        cells = [outcomes[Cell(fault, operation, turn)] for operation in OPERATIONS]
        rows.append([fault.value, *(each.kind for each in cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
