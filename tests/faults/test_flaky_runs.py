"""Short jobs one after the other on a flaky service: nothing is lost, and nothing is left."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jobs import run, workload_of
from proxy import Fault, nothing, some

if TYPE_CHECKING:
    from collections.abc import Callable

    from messages import Request
    from proxy import FaultyProxy

    from cm4storage.storage.location import StoreLocation

FAULTS = (
    Fault.REFUSED,
    Fault.LOST_ANSWER,
    Fault.CUT_ANSWER,
    Fault.SHORT_ANSWER,
    Fault.SMALLER_ANSWER,
    Fault.FLIPPED_ANSWER,
    Fault.SLOW_START,
    Fault.SLOW_MIDDLE,
    Fault.ERROR_500,
    Fault.ERROR_503,
    Fault.ERROR_503_HTML,
    Fault.CUT_REQUEST,
)
SLOW = (Fault.SLOW_START, Fault.SLOW_MIDDLE)
SHARE = 0.08


def open_things() -> tuple[int, int]:
    """Return how many threads and descriptors this process has."""
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def settled(is_so: Callable[[], bool]) -> bool:
    """Wait until a condition holds, or for much longer than it takes."""
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def run_often(place: StoreLocation, proxy: FaultyProxy, count: int) -> None:
    """Generate and run a small data set `count` times; every run meets faults of its own."""
    workload = workload_of("dataset.format=npy")
    proxy.pause_s = 0.05
    _, rows = run(workload, place.child("calm"))
    before = open_things()
    for number in range(count):
        proxy.script = unless_it_is_a_listing(some(FAULTS, SHARE, number))
        report, again = run(workload, place.child(f"run-{number}"))
        proxy.script = nothing
        assert again == rows, f"run {number}"
        assert report.record.faults == []
    harmed = [fault for fault in proxy.harmed if fault not in SLOW]
    assert len(harmed) >= count, "hardly anything happened"
    assert settled(lambda: is_no_more_than(before)), (before, open_things(), threading.enumerate())


def is_no_more_than(before: tuple[int, int]) -> bool:
    return all(now <= then for now, then in zip(open_things(), before, strict=True))


def unless_it_is_a_listing(
    script: Callable[[Request], Fault | None],
) -> Callable[[Request], Fault | None]:
    """Let no byte of a listing be flipped: it has no checksum, and the job would rightly fail."""

    def spared(request: Request) -> Fault | None:
        fault = script(request)
        return None if fault is Fault.FLIPPED_ANSWER and "list-type" in request.query else fault

    return spared


def test_runs_on_a_flaky_service(place: StoreLocation, proxy: FaultyProxy) -> None:
    run_often(place, proxy, 8)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_two_hundred_runs_on_a_flaky_service(place: StoreLocation, proxy: FaultyProxy) -> None:
    run_often(place, proxy, 200)
