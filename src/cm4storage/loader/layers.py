"""What the workload's reader section puts between the loader and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.core.memory import machine_memory_bytes
from cm4storage.core.records import dataclass, replace
from cm4storage.core.units import format_bytes
from cm4storage.workload.plan import Plan

if TYPE_CHECKING:
    from cm4storage.loader.counting_store import CountingStore
    from cm4storage.loader.file_reader import ReadCounters
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


@dataclass(frozen=True)
class Layers:
    """The store that readers use, and what counts below it where not every read reaches storage."""

    store: Store
    counting: CountingStore | None = None

    @classmethod
    def of(cls, workload: Workload, store: Store) -> Layers:
        """Return the layers that ``odirect``, ``transfer_size`` and ``read_type`` ask for.

        Raises
        ------
        UserError
            If the store or the machine cannot do that.
        """
        reader = workload.reader
        if reader.odirect:
            from cm4storage.storage.direct_reads import read_directly
            from cm4storage.storage.oplog.logged_store import below_the_log

            store = below_the_log(store, read_directly)
        if reader.transfer_size is not None:
            from cm4storage.storage.limited_reads import LimitedReads

            store = LimitedReads(store, reader.transfer_size)
        if reader.read_type == "on_demand":
            return cls(store)
        from cm4storage.loader.counting_store import CountingStore
        from cm4storage.storage.kept_reads import KeptReads

        _require_memory(workload)
        counting = CountingStore(store)
        return cls(KeptReads(counting), counting)

    def counts(self) -> dict[str, int] | None:
        """Return the reads that reached storage in this epoch; None where all do."""
        if self.counting is None:
            return None
        below = self.counting.counts()
        return {"bytes_read": below.bytes_read, "operations": below.operations}

    def really_read(self, counters: ReadCounters) -> ReadCounters:
        """Return `counters` of an epoch with the reads that reached storage."""
        if self.counting is None:
            return counters
        below = self.counting.counted()
        return replace(counters, io=below.io, bytes_read=below.bytes_read)


def _require_memory(workload: Workload) -> None:
    needed_bytes = Plan.of(workload).payload_bytes()
    memory_bytes = machine_memory_bytes()
    if needed_bytes > memory_bytes:
        raise UserError(
            f"reader.read_type=memory keeps {format_bytes(needed_bytes)} in memory, and this "
            f"machine has {format_bytes(memory_bytes)}",
            where="reader.read_type",
            advice="use on_demand, or fewer or smaller files",
        )
