"""A thread that looks at a run once a second: for its time series and for who watches it.

It reads counters that the run keeps anyway, and takes no lock that a step takes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cm4storage.core.records import dataclass, field
from cm4storage.results.histogram import Histogram
from cm4storage.results.time_series import HEADER, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from cm4storage.core.progress import Progress

PERIOD_S = 1.0
_STATM = Path("/proc/self/statm")


@dataclass
class StepTimes:
    """Seconds of each step of an epoch; of a step, `compute_s` grows after `wait_s`.

    `begin_s` is when the epoch began, and `end_s` when its last computation so far ended.
    """

    begin_s: float = 0.0
    end_s: float = 0.0
    wait_s: list[float] = field(default_factory=list)
    compute_s: list[float] = field(default_factory=list)
    barrier_s: list[float] = field(default_factory=list)
    h2d_s: list[float] = field(default_factory=list)
    plugins_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Counts:
    """What a run has done so far.

    Attributes
    ----------
    bytes_read, operations, skipped_files, retries : int
    queue_depth : int or None
        As in `Sample`.
    cpu_s : float
        Processor time of readers that are processes of their own.
    """

    bytes_read: int = 0
    operations: int = 0
    skipped_files: int = 0
    retries: int = 0
    queue_depth: int | None = None
    cpu_s: float = 0.0

    def plus(self, other: Counts) -> Counts:
        """Return the sum, with the depth of whichever has a queue."""
        depths = [each for each in (self.queue_depth, other.queue_depth) if each is not None]
        return Counts(
            self.bytes_read + other.bytes_read,
            self.operations + other.operations,
            self.skipped_files + other.skipped_files,
            self.retries + other.retries,
            max(depths, default=None),
            self.cpu_s + other.cpu_s,
        )


class Watched(Protocol):
    """A run that can be looked at from another thread."""

    @property
    def epochs_so_far(self) -> Sequence[StepTimes]:
        """The steps of each epoch of the training; the last one grows."""

    def counts(self) -> Counts:
        """Return what was done so far."""


@dataclass
class _Steps:
    """What is known of the steps that were looked at, `skipped` ones of each epoch left out."""

    skipped: int
    epoch: int = 0
    step: int = 0
    plugin_step: int = 0
    total: int = 0
    measured: int = 0
    compute_s: float = 0.0
    before_s: float = 0.0
    current_s: float = 0.0
    aside_s: float = 0.0
    waits: Histogram = field(default_factory=Histogram)

    @property
    def au_percent(self) -> float | None:
        """The utilization so far; see `Sample`."""
        return _percent(self.compute_s, self.before_s + self.current_s) if self.measured else None

    def follow(self, epochs: Sequence[StepTimes]) -> tuple[float, float]:
        """Take in the steps that are new; return their waits, and their time in all."""
        wait_s = total_s = 0.0
        while self.epoch < len(epochs):
            times = epochs[self.epoch]
            is_over = self.epoch + 1 < len(epochs)  # then no more steps come to it
            waited, spent = self._take(times, len(times.compute_s))
            wait_s, total_s = wait_s + waited, total_s + spent
            if not is_over:
                break
            self.before_s, self.current_s = self.before_s + self.current_s, 0.0
            self.epoch, self.step, self.plugin_step, self.aside_s = self.epoch + 1, 0, 0, 0.0
        return wait_s, total_s

    def _take(self, times: StepTimes, stop: int) -> tuple[float, float]:
        """Take in the steps up to `stop` of the current epoch."""
        new, first = slice(self.step, stop), max(self.step, self.skipped)
        wait_s, compute_s = sum(times.wait_s[new]), sum(times.compute_s[new])
        for each in times.wait_s[new]:
            self.waits.add(each)
        skipped = slice(self.step, min(stop, self.skipped))
        self.aside_s += sum(times.wait_s[skipped]) + sum(times.compute_s[skipped])
        plugins_s = times.plugins_s[self.plugin_step :]
        self.aside_s += sum(plugins_s)
        self.plugin_step += len(plugins_s)
        if first < stop:
            self.compute_s += sum(times.compute_s[first:stop])
            self.measured += stop - first
            self.current_s = times.end_s - times.begin_s - self.aside_s
        self.total, self.step = self.total + stop - self.step, stop
        return wait_s, wait_s + compute_s + sum(times.barrier_s[new])


class Sampler:
    """Makes samples of a run; each call of `sample` ends an interval.

    Parameters
    ----------
    skipped_steps : int
        How many steps at the start of an epoch the utilization leaves out.
    """

    def __init__(self, watched: Watched, skipped_steps: int) -> None:
        self._watched = watched
        self._steps = _Steps(skipped_steps)
        self._start_s = self._last_s = time.perf_counter()
        self._cpu_s = time.process_time()
        self._counts = Counts()

    def sample(self) -> Sample:
        """Return what has happened since the last call."""
        now_s, counts = time.perf_counter(), self._watched.counts()
        cpu_s = time.process_time() + counts.cpu_s
        wait_s, spent_s = self._steps.follow(self._watched.epochs_so_far)
        interval_s = max(now_s - self._last_s, 1e-9)
        steps, p99_s = self._steps, self._steps.waits.percentile_s(99)
        sample = Sample(
            elapsed_s=now_s - self._start_s,
            steps=steps.total,
            read_mib_per_s=(counts.bytes_read - self._counts.bytes_read) / 2**20 / interval_s,
            operations_per_s=(counts.operations - self._counts.operations) / interval_s,
            wait_share_percent=_percent(wait_s, spent_s),
            queue_depth=counts.queue_depth,
            cpu_percent=(cpu_s - self._cpu_s) / interval_s * 100,
            memory_bytes=_memory_bytes(),
            au_so_far_percent=steps.au_percent,
            wait_p99_so_far_ms=None if p99_s is None else p99_s * 1e3,
            skipped_files=counts.skipped_files,
            retries=counts.retries,
        )
        self._last_s, self._cpu_s, self._counts = now_s, cpu_s, counts
        return sample


def _percent(part: float, whole: float) -> float | None:
    return part / whole * 100 if whole > 0 else None


def _memory_bytes() -> int | None:
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


@contextlib.contextmanager
def sampled(
    sampler: Sampler, progress: Progress, series: TextIO | None = None, period_s: float = PERIOD_S
) -> Iterator[None]:
    """Look at a run each `period_s`, and once more in the end.

    Parameters
    ----------
    progress : Progress
        Gets the figures as the detail of what it shows.
    series : TextIO, optional
        Gets a row each time, and is flushed, so that a run that is killed leaves its rows. If it
        cannot be written, the series ends there, and the run goes on.
    """
    ended = threading.Event()
    rows = _Rows(series)

    def look() -> None:
        next_s = time.monotonic() + period_s
        while not ended.wait(max(0.0, next_s - time.monotonic())):
            next_s += period_s
            sample = sampler.sample()
            rows.write(sample.row())
            with contextlib.suppress(OSError):  # nobody reads there any more
                progress.advance(0, sample.text())

    rows.write(HEADER)
    thread = threading.Thread(target=look, name="sampler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        rows.write(sampler.sample().row())


class _Rows:
    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(row)
            self._stream.flush()
        except OSError:
            self._stream = None
