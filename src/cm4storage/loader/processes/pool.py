"""The reader processes of a split, and the batches of an epoch that they fill."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.core.waiting import STOP, TURN_S
from cm4storage.loader.file_reader import ReadCounters
from cm4storage.loader.processes.limits import refusal, require_possible
from cm4storage.loader.processes.reader import ReaderJob
from cm4storage.loader.processes.shared_ring import Places, SharedMemory, fence
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
_SHORT_OF: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EFBIG, errno.ENOSPC}
)
_TURN_MS: Final = int(TURN_S * 1000)


class RunningReaders:
    """Reader processes that run, and the memory that they fill.

    Attributes
    ----------
    shared : SharedMemory
    batches : numpy.ndarray
        Shape (slots, batch size, *sample shape).
    """

    def __init__(
        self,
        processes: LocalProcesses,
        bell: int,
        shared: SharedMemory,
        batches: npt.NDArray[np.generic],
    ) -> None:
        self.shared, self.batches = shared, batches
        self._processes, self._bell = processes, bell
        connections = [each.connection.fileno() for each in processes.processes]
        self.size = len(connections)
        self._numbers = {descriptor: number for number, descriptor in enumerate(connections)}
        self._poll = select.poll()
        for descriptor in (bell, *connections):
            self._poll.register(descriptor, select.POLLIN)

    def await_ready(self) -> None:
        """Wait until all can read."""
        ready: set[int] = set()
        while len(ready) < self.size:
            self.wait(lambda number, _message: ready.add(number))

    def tell(self, reader: int, message: dict[str, Any]) -> None:
        """Send a message to a reader."""
        self._processes.tell(reader, message)

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

    def _receive(self, number: int, hear: Callable[[int, dict[str, Any]], None]) -> None:
        for message in self._processes.messages(number):
            if message["kind"] == "error":
                raise error_of(message)
            hear(number, message)


class ReaderPool:
    """As many reader processes as ``reader.read_threads`` says, for all epochs of a split.

    They are started by `make_ready`, and are there until `close`.
    """

    def __init__(self, order: RunOrder, uri: str, on_error: OnError) -> None:
        self._order, self._uri, self._on_error = order, uri, on_error
        self._stack = contextlib.ExitStack()
        self._readers: RunningReaders | None = None

    def make_ready(self) -> None:
        """Start the readers unless they are there, and wait until all can read.

        Raises
        ------
        UserError
            If the system does not give what they need.
        """
        if self._readers is not None:
            return
        try:
            with contextlib.ExitStack() as stack:
                readers = self._start(stack)
                readers.await_ready()
                self._stack = stack.pop_all()
        except OSError as error:
            if error.errno not in _SHORT_OF:
                raise
            raise self._shortage(error) from error
        self._readers = readers

    def epoch(self, number: int, steps: int) -> ProcessReaders:
        """Return the batches of an epoch; the readers must be ready."""
        assert self._readers is not None
        return ProcessReaders(self._readers, number, steps)

    def close(self) -> None:
        """End all readers, and let go of the memory of the batches."""
        self._readers = None
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> RunningReaders:
        order = self._order
        places = Places.of(order.workload, order.split)
        memory = places.make_descriptor()
        stack.callback(os.close, memory)
        bell = os.eventfd(0)
        stack.callback(os.close, bell)
        shared = SharedMemory(memory, places)
        batches = as_batches(shared.view(places.rows_bytes), places.slots, places.shape)
        common = order.workload, order.split, self._uri, order.entropy, self._on_error
        job = ReaderJob(*common, memory, bell).to_document()
        processes = LocalProcesses(
            _MODULE, places.readers, job, kind="reader process", inherited=(memory, bell)
        )
        stack.enter_context(processes)
        return RunningReaders(processes, bell, shared, batches)

    def _shortage(self, error: OSError) -> UserError:
        reader = self._order.workload.reader
        return UserError(
            f"cannot start the reader processes: {error}",
            where=f"reader.read_threads={reader.read_threads}, "
            f"reader.prefetch_size={reader.prefetch_size}",
            advice="use fewer, or raise the limits of processes, open files and memory (ulimit -a)",
        )


class ProcessReaders:
    """The batches of one epoch, filled by reader processes. A context manager."""

    def __init__(self, readers: RunningReaders, number: int, steps: int) -> None:
        self._readers = readers
        self._shared = readers.shared
        self._slots = len(readers.batches)
        self._number = number
        self._steps = steps
        self._released = 0
        self._counters: dict[int, ReadCounters] = {}

    def __enter__(self) -> ProcessReaders:
        self._shared.clear()
        message = {"kind": "epoch", "number": self._number, "steps": self._steps}
        for reader in range(self._readers.size):
            self._readers.tell(reader, message)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        while kind is None and len(self._counters) < self._readers.size:
            self._readers.wait(self._hear)

    def take(self, step: int) -> npt.NDArray[np.generic]:
        """Return the batch of a step; wait until it is full."""
        if not self._shared.is_full(step):
            self._await(step)
        fence()  # before the rows are looked at
        batch: npt.NDArray[np.generic] = self._readers.batches[step % self._slots]
        return batch

    def release(self, step: int) -> None:
        """Give the batch of a step back."""
        self._released = step + 1
        for reader in self._shared.release(step + 1):
            self._readers.tell(reader, {"kind": "released"})

    def counters(self) -> ReadCounters:
        """Return what all readers have done; call it after the epoch."""
        total = ReadCounters()
        for number in sorted(self._counters):
            total.merge(self._counters[number])
        return total

    def counts(self) -> Counts:
        """Return what was read so far; may be called from another thread."""
        ahead = range(self._released + 1, self._released + self._slots)  # after the one in hand
        ready = sum(map(self._shared.is_full, ahead))
        return replace(self._shared.counts(), queue_depth=ready)

    def _await(self, step: int) -> None:
        self._shared.let_loop_wait(waits=True)
        try:
            while not self._shared.is_full(step):
                self._readers.wait(self._hear)
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
    require_possible(order.workload, plugins)
    if not isinstance(store, FolderStore):
        raise refusal("they read files, not through anything else", store.uri)
    return ReaderPool(order, store.uri, on_error)
