"""Probes that measure: latency, and the first figures of throughput."""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from cm4storage.core.units import KIB, MIB, format_bytes, format_seconds
from cm4storage.storage.diagnosis.findings import Observation, Probe
from cm4storage.storage.diagnosis.operations import expect
from cm4storage.storage.page_cache import LocalFiles, evict, residency

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.bench import Bench

_READS: Final = 20
_SMALL_BYTES: Final = 4 * KIB
LARGE_BYTES: Final = 32 * MIB
_LIMIT_S: Final = 60.0


def _measure_latency(bench: Bench) -> Observation:
    key, content = bench.key("small"), os.urandom(_SMALL_BYTES)
    with bench.writing("small") as writing:
        bench.store.write(key, writing.pieces(content))
    times_s = []
    for _ in range(_READS):
        begin = time.perf_counter()
        with bench.store.read(key):
            times_s.append(time.perf_counter() - begin)
    return latencies(f"{_READS} reads of {format_bytes(_SMALL_BYTES)}", times_s)


def latencies(what: str, times_s: list[float]) -> Observation:
    """Return what several durations are, shortest, median and longest."""
    figures = {"min_s": min(times_s), "median_s": median(times_s), "max_s": max(times_s)}
    shown = ", ".join(f"{name[:-2]} {format_seconds(s)}" for name, s in figures.items())
    return Observation(f"{what}: {shown}", {"count": len(times_s)} | figures)


def _measure_write(bench: Bench) -> Observation:
    content = os.urandom(LARGE_BYTES)
    with bench.writing("large") as writing:
        begin = time.perf_counter()
        bench.store.write(writing.key, writing.pieces(content))
        elapsed_s = time.perf_counter() - begin
    note = ", synced to the disk" if isinstance(bench.store, LocalFiles) else ""
    return _rate(elapsed_s, note)


def _measure_read(bench: Bench) -> Observation:
    key = bench.key("large")
    note = ""
    if isinstance(bench.store, LocalFiles):
        path = bench.store.local_path(key)
        evict([path])
        share = residency([path]).fraction or 0.0
        note = f", {share:.0%} of it in the page cache before"
    begin = time.perf_counter()
    with bench.store.read(key) as view:
        elapsed_s = time.perf_counter() - begin
        expect(bench, key, "reading", is_right=view.nbytes == LARGE_BYTES)
    return _rate(elapsed_s, note)


def _rate(elapsed_s: float, note: str) -> Observation:
    """Say how fast it went. MB is 10**6 bytes, MiB is 2**20."""
    mb_per_s = LARGE_BYTES / 1e6 / elapsed_s
    mib_per_s = LARGE_BYTES / MIB / elapsed_s
    rates = f"{mb_per_s:,.0f} MB/s ({mib_per_s:,.0f} MiB/s)"
    return Observation(
        f"{rates}, one object of {format_bytes(LARGE_BYTES)}{note}",
        {"mb_per_s": mb_per_s, "mib_per_s": mib_per_s, "bytes": LARGE_BYTES},
    )


PROBES: Final = (
    Probe("latency", _measure_latency, ("write",)),
    Probe("write speed", _measure_write, ("write",), limit_s=_LIMIT_S),
    Probe("read speed", _measure_read, ("write speed",), limit_s=_LIMIT_S),
)
