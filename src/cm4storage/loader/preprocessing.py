"""``reader.preprocess_time``: what a sample costs beside reading and decoding it.

DLIO sleeps that long for each sample in the worker that read it; TensorFlow's loader does so in
``reader.computation_threads`` parallel calls (``data_loader/tf_data_loader.py`` and
``reader/reader_handler.py`` of dlio_benchmark).
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cm4storage.workload.distributions import Distribution
    from cm4storage.workload.model import Workload


class Preprocessing:
    """The preprocessing of a whole run, which all reader threads share."""

    def __init__(self, workload: Workload) -> None:
        reader = workload.reader
        self._duration = reader.preprocess_time.with_stdev(reader.preprocess_time_stdev)
        self._seed = workload.train.seed
        is_mapped = workload.framework == "tensorflow" and workload.dataset.format == "tfrecord"
        calls, readers = max(1, reader.computation_threads), max(1, reader.read_threads)
        self._is_limiting = calls < readers
        self._calls = threading.Semaphore(calls) if is_mapped else None

    @property
    def is_limited_by_threads(self) -> bool:
        """Tell whether fewer may preprocess at a time than there are readers."""
        return self._calls is not None and not self._duration.is_zero and self._is_limiting

    def of_thread(self, epoch: int, thread: int) -> ThreadPreprocessing | None:
        """Return the preprocessing of one thread in one epoch, or None where there is none."""
        if self._duration.is_zero:
            return None
        generator = np.random.default_rng((self._seed, epoch, thread))
        return ThreadPreprocessing(self._duration, generator, self._calls or nullcontext())


class ThreadPreprocessing:
    """Sleeps for each sample as long as the workload's distribution says."""

    def __init__(
        self,
        duration: Distribution,
        generator: np.random.Generator,
        calls: AbstractContextManager[object],
    ) -> None:
        self._duration = duration
        self._generator = generator
        self._calls = calls

    def run(self) -> float:
        """Preprocess one sample; return the seconds that it took."""
        begin = time.perf_counter()
        with self._calls:
            time.sleep(self._duration.draw(self._generator))
        return time.perf_counter() - begin
