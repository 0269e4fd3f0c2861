"""The reader processes of a split, and the batches of an epoch that they fill."""

from __future__ import annotations

import os
import select
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.core.waiting import STOP, TURN_S
from cm4storage.loader.file_reader import ReadCounters
from cm4storage.loader.preprocessing import Preprocessing
from cm4storage.loader.processes.reader import ReaderJob
from cm4storage.loader.processes.shared_ring import Places, SharedMemory
from cm4storage.loader.slots import as_batches
from cm4storage.ranks.messages import error_of
from cm4storage.ranks.processes import LocalProcesses
from cm4storage.storage.folders.folder import FolderStore

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from cm4storage.loader.limits import OnError
    from cm4storage.loader.order import RunOrder
    from cm4storage.loader.plugins import Plugins
    from cm4storage.loader.sampling import Counts
    from cm4storage.storage.store import Store

_MODULE: Final = "cm4storage.loader.processes.reader"
_TURN_MS: Final = int(TURN_S * 1000)
_BELL_BYTES: Final = 8


class ReaderPool(LocalProcesses):
    """As many reader processes as ``reader.read_threads`` says, for all epochs of a split.

    Attributes
    ----------
    shared : SharedMemory
    batches : numpy.ndarray
        Shape (slots, batch size, *sample shape).
    """

    def __init__(self, order: RunOrder, uri: str, on_error: OnError) -> None:
        workload, split = order.workload, order.split
        places = Places.of(workload, split)
        self._inherited_memory, self._bell = places.make_descriptor(), os.eventfd(0)
        inherited = self._inherited_memory, self._bell
        self.shared = SharedMemory(self._inherited_memory, places)
        view = self.shared.view(places.slots * places.shape.batch_bytes)
        self.batches = as_batches(view, places.slots, places.shape)
        job = ReaderJob(workload, split, uri, order.entropy, on_error, *inherited).to_document()
        super().__init__(_MODULE, places.readers, job, kind="reader process", inherited=inherited)
        self._poll = select.poll()
        self._numbers: dict[int, int] = {}

    def make_ready(self) -> None:
        """Start the readers unless they are there, and wait until all can read."""
        if self.processes:
            return
        self.start_all()
        for number, each in enumerate(self.processes):
            self._numbers[each.connection.fileno()] = number
        for descriptor in (self._bell, *self._numbers):
            self._poll.register(descriptor, select.POLLIN)
        ready: set[int] = set()
        while len(ready) < self._size:
            self.wait(lambda number, _message: ready.add(number))

    def wait(self, hear: Callable[[int, dict[str, Any]], None]) -> None:
        """Wait until a reader rings the bell or sends messages; `hear` gets them, with its number.

        Raises
        ------
        StorageBenchmarkError
            The error of a reader, or its death.
        """
        for descriptor, _ in self._poll.poll(_TURN_MS):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
            else:
                self._receive(self._numbers[descriptor], hear)
        STOP.check()

    def epoch(self, number: int, steps: int) -> ProcessReaders:
        """Return the batches of an epoch."""
        return ProcessReaders(self, number, steps)

    def close(self) -> None:
        """End all readers."""
        self.end_all()
        os.close(self._bell)
        os.close(self._inherited_memory)

    def _receive(self, number: int, hear: Callable[[int, dict[str, Any]], None]) -> None:
        inbox = self.processes[number].inbox
        if not inbox.receive():
            raise self.death(number)
        for message in inbox.messages():
            if message["kind"] == "error":
                raise error_of(message)
            hear(number, message)


class ProcessReaders:
    """The batches of one epoch, filled by reader processes. A context manager."""

    def __init__(self, pool: ReaderPool, number: int, steps: int) -> None:
        self._pool = pool
        self._shared = pool.shared
        self._slots, self._batch_size = int(pool.batches.shape[0]), int(pool.batches.shape[1])
        self._number = number
        self._steps = steps
        self._released = 0
        self._counters: dict[int, ReadCounters] = {}

    def __enter__(self) -> ProcessReaders:
        self._shared.clear()
        for number in range(len(self._pool.processes)):
            message = {"kind": "epoch", "number": self._number, "steps": self._steps}
            self._pool.tell(number, message)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        while kind is None and len(self._counters) < len(self._pool.processes):
            self._pool.wait(self._hear)

    def take(self, step: int) -> npt.NDArray[np.generic]:
        """Return the batch of a step; wait until it is full."""
        if not self._is_full(step):
            self._await(step)
        batch: npt.NDArray[np.generic] = self._pool.batches[step % self._slots]
        return batch

    def release(self, step: int) -> None:
        """Give the batch of a step back."""
        self._released = step + 1
        for reader in self._shared.release(step + 1):
            self._pool.tell(reader, {"kind": "released"})

    def counters(self) -> ReadCounters:
        """Return what all readers have done; call it after the epoch."""
        total = ReadCounters()
        for number in sorted(self._counters):
            total.merge(self._counters[number])
        return total

    def counts(self) -> Counts:
        """Return what was read so far; may be called from another thread."""
        ahead = range(self._released, self._released + self._slots)
        ready = sum(map(self._is_full, ahead))
        return replace(self._shared.counts(), queue_depth=ready)

    def _is_full(self, step: int) -> bool:
        """Tell whether the batch of a step is full; a slot counts all that was ever in it."""
        turn, slot = divmod(step, self._slots)
        return self._shared.filled(slot) >= (turn + 1) * self._batch_size

    def _await(self, step: int) -> None:
        self._shared.let_loop_wait(waits=True)
        try:
            while not self._is_full(step):
                self._pool.wait(self._hear)
        finally:
            self._shared.let_loop_wait(waits=False)

    def _hear(self, number: int, message: dict[str, Any]) -> None:
        if message["kind"] == "done":
            self._counters[number] = ReadCounters.from_json(message["counters"])


def reader_pool(order: RunOrder, store: Store, plugins: Plugins, on_error: OnError) -> ReaderPool:
    """Return the reader processes of a split, which are not yet started.

    Raises
    ------
    UserError
        If what is to be read, or who is to read it, exists in this process only.
    """
    if not isinstance(store, FolderStore):
        raise _refusal("they read files, and not through a log of operations", store.uri)
    own = sorted({"reader", "sampler", "loader"} & set(plugins.given()))
    if own:
        raise _refusal("they know nothing of a part that is your own", f"the {own[0]}")
    reader = order.workload.reader
    if reader.read_type != "on_demand":
        raise _refusal("each would keep files in memory of its own", "reader.read_type=memory")
    if Preprocessing(order.workload).is_limited_by_threads:
        where = f"reader.computation_threads={reader.computation_threads}"
        raise _refusal("they cannot share fewer calls than there are readers", where)
    return ReaderPool(order, store.uri, on_error)


def _refusal(why: str, where: str) -> UserError:
    return UserError(
        f"readers cannot be processes here: {why}",
        where=where,
        advice="leave --readers=processes out: threads can do it",
    )
