"""The epochs of one split: training, or evaluation."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from cm4storage.core.errors import StorageFault
from cm4storage.core.moments import local_now
from cm4storage.core.waiting import pause
from cm4storage.formats.format import format_of
from cm4storage.loader.caching import CachedFiles
from cm4storage.loader.data_files import DataFiles
from cm4storage.loader.file_reader import ReadCounters
from cm4storage.loader.layers import Layers
from cm4storage.loader.order import RunOrder
from cm4storage.loader.orders import Orders
from cm4storage.loader.pipeline import EpochReaders, Reading
from cm4storage.loader.preprocessing import Preprocessing
from cm4storage.loader.sampled_order import SampledOrder
from cm4storage.loader.sampling import Counts, StepTimes
from cm4storage.loader.slots import make_slots
from cm4storage.plugins.lifecycle import NO_PLUGINS
from cm4storage.results.records import EpochRecord
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from cm4storage.core.progress import Progress
    from cm4storage.loader.limits import Conduct
    from cm4storage.loader.order import EpochOrder
    from cm4storage.loader.plugins import Plugins
    from cm4storage.loader.processes.pool import ReaderPool
    from cm4storage.plugins.lifecycle import Lifecycle
    from cm4storage.ranks.communicator import Communicator
    from cm4storage.storage.store import Store
    from cm4storage.workload.distributions import Distribution
    from cm4storage.workload.model import Workload


class Batches(Protocol):
    """One epoch's batches, as a context manager."""

    def __enter__(self) -> Batches: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None: ...

    def take(self, step: int) -> npt.NDArray[np.generic]:
        """Return the batch of a step; wait until it is full."""

    def release(self, step: int) -> None:
        """Give the batch of a step back."""

    def counters(self) -> ReadCounters:
        """Return what was read; called after the epoch."""

    def counts(self) -> Counts:
        """Return what was read so far; called from another thread."""


class Phase:
    """Runs the epochs of one split, one by one."""

    def __init__(
        self,
        workload: Workload,
        store: Store,
        ranks: Communicator,
        split: Split,
        conduct: Conduct,
        plugins: Plugins,
        lifecycle: Lifecycle = NO_PLUGINS,
    ) -> None:
        self._workload = workload
        self._store = store
        self._pool: ReaderPool | None = None
        self._lifecycle = lifecycle
        self._ranks = ranks
        self._split = split
        self._conduct = conduct
        self._orders = Orders(RunOrder(workload, split=split))
        self._sampler = plugins.sampler(workload) if plugins.sampler else None
        self._files = DataFiles(workload, split)
        self._cache = CachedFiles.of(store, self._files)
        self._layers = Layers.of(workload, store)
        self._batches = self._batches_of(self._layers.store, plugins)
        self._compute = plugins.compute_step(workload) if plugins.compute_step else _emulate
        self._transfer = getattr(self._compute, "transfer", None)
        self.counters = ReadCounters()
        self.epochs_so_far: list[StepTimes] = []
        self._running: Batches | None = None
        self._changes = threading.Lock()  # of the two above, so that nothing counts twice

    def counts(self) -> Counts:
        """Return what was done so far; may be called from another thread."""
        with self._changes:
            done = self.counters.counts()
            if self._running is None:
                return done
            now, below = self._running.counts(), self._layers.counts()
        return done.plus(now if below is None else replace(now, **below))

    def order(self, number: int) -> EpochOrder:
        """Return the order of epoch `number`, counted from 1."""
        if self._sampler is None:
            return self._orders.of(number)
        sizes = self._files.count, self._files.samples_per_file, self._batch_size
        return SampledOrder(self._sampler.ids(number), *sizes, "the sampler")

    def _batches_of(self, store: Store, plugins: Plugins) -> Callable[[int, int], Batches]:
        """Return what makes the batches of an epoch from its number and steps."""
        if self._conduct.readers == "processes":
            return self._of_processes(plugins)
        if plugins.loader is not None:
            from cm4storage.loader.counting_store import CountingStore
            from cm4storage.loader.custom_batches import CustomBatches

            counting = CountingStore(store)
            loader = plugins.loader(self._workload, counting, self._files)
            size = self._batch_size
            return lambda number, steps: CustomBatches(loader, counting, size, number, steps)
        reading = Reading(
            self._workload,
            self._files,
            store,
            Preprocessing(self._workload),
            self._conduct.on_error,
            plugins.reader or format_of,
        )
        slots = make_slots(self._workload, self._split)
        return lambda number, steps: EpochReaders(reading, slots, self.order(number), steps, number)

    def _of_processes(self, plugins: Plugins) -> Callable[[int, int], Batches]:
        from cm4storage.loader.processes.pool import reader_pool

        shuffled, on_error = self._orders.shuffled, self._conduct.on_error
        self._pool = reader_pool(shuffled, self._store, plugins, on_error)
        return self._pool.epoch

    def close(self) -> None:
        """End the readers that are processes."""
        if self._pool is not None:
            self._pool.close()

    def run(self, number: int, steps: int, progress: Progress) -> EpochRecord:
        """Run one epoch of `steps` steps.

        Raises
        ------
        StorageFault
            If a file cannot be read or is damaged.
        """
        durations_s = self._durations(number, steps)
        if self._pool is not None:
            self._pool.make_ready()
        if self._conduct.is_cold:
            self._cache.evict()
        resident_before = self._cache.resident_fraction()
        start, begin, begin_cpu = local_now(), time.perf_counter(), time.process_time()
        times = StepTimes(begin)
        with self._batches(number, steps) as batches:
            self._running = batches
            self.epochs_so_far.append(times)
            self._steps((number - 1) * steps, durations_s, batches, progress, times)
            end, duration_s = local_now(), time.perf_counter() - begin
            own_cpu_s = time.process_time() - begin_cpu
        with self._changes:
            self._running = None
            counters = self._layers.really_read(batches.counters())
            self.counters.merge(counters)
        _require_some(counters)
        return EpochRecord(
            number=number,
            start=start,
            end=end,
            duration_s=duration_s,
            wait_s=times.wait_s,
            compute_s=times.compute_s,
            barrier_s=times.barrier_s or None,
            bytes_read=counters.bytes_read,
            samples=steps * self._batch_size,
            h2d_s=times.h2d_s or None,
            plugins_s=times.plugins_s or None,
            skipped_files=counters.skipped_files,
            resident_before=resident_before,
            resident_after=self._cache.resident_fraction(),
            cpu_s=own_cpu_s + counters.cpu_s,
        )

    def _steps(
        self,
        before: int,
        durations_s: list[float],
        batches: Batches,
        progress: Progress,
        times: StepTimes,
    ) -> None:
        """Take the steps of an epoch, and note their times; `before` steps go before it."""
        clock = time.perf_counter
        # Chosen once: where there is no plugin, a step looks at three local names.
        before_step, after_step = self._lifecycle.before_step, self._lifecycle.after_step
        is_timed = self._lifecycle.is_timed
        for step, duration_s in enumerate(durations_s):
            aside_s = 0.0 if before_step is None else before_step(before + step + 1)
            begin = clock()
            batch = self._moved(batches.take(step), times)
            received = clock()
            self._compute(batch, duration_s)
            computed = clock()
            del batch
            batches.release(step)
            waited_s = self._ranks.barrier()
            if waited_s is not None:
                times.barrier_s.append(waited_s)
            times.wait_s.append(received - begin)
            times.end_s = computed
            times.compute_s.append(computed - received)
            if after_step is not None:
                aside_s += after_step(before + step + 1)
            if is_timed:
                times.plugins_s.append(aside_s)
            progress.advance(1)

    def _moved(self, batch: npt.NDArray[np.generic], times: StepTimes) -> Any:
        """Return a batch as the compute step wants it; the time counts as waited for."""
        if self._transfer is None:
            return batch
        begin = time.perf_counter()
        moved = self._transfer(batch)
        times.h2d_s.append(time.perf_counter() - begin)
        return moved

    def _durations(self, number: int, steps: int) -> list[float]:
        return self._computation.draw_many(self._workload.train.seed + number, steps)

    @property
    def _computation(self) -> Distribution:
        is_training = self._split is Split.TRAIN
        return self._workload.computation_time if is_training else self._workload.eval_time

    @property
    def _batch_size(self) -> int:
        reader = self._workload.reader
        return reader.batch_size if self._split is Split.TRAIN else reader.batch_size_eval


def _require_some(counters: ReadCounters) -> None:
    """Fail where every file was skipped: then it is the storage that fails, and no file."""
    if counters.skipped_files and not counters.samples:
        raise StorageFault(
            "no file of the epoch could be read",
            where=f"{counters.skipped_files} files were skipped; the first because of:\n"
            f"{counters.faults[0]}",
            advice="check the storage, or leave --on_error=skip out to stop at the first",
        )


def _emulate(batch: object, duration_s: float) -> None:
    """Compute nothing for as long as an accelerator would compute with the batch."""
    del batch
    pause(duration_s)
