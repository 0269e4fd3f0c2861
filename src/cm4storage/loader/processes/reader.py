"""One reader's process: ``python -m cm4storage.loader.processes.reader``; `pool` starts it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from cm4storage.loader.data_files import DataFiles
from cm4storage.loader.layers import Layers
from cm4storage.loader.order import RunOrder, Share
from cm4storage.loader.orders import Orders
from cm4storage.loader.pipeline import Reading, Worker, files_per_task
from cm4storage.loader.preprocessing import Preprocessing
from cm4storage.loader.processes.shared_ring import Places, SharedRing
from cm4storage.ranks.local_rank import Link, serve_as
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store
from cm4storage.workload.plan import Split
from cm4storage.workload.resolved import Resolved, from_document

if TYPE_CHECKING:
    from cm4storage.loader.limits import OnError
    from cm4storage.workload.model import Workload


@dataclass(frozen=True)
class ReaderJob:
    """What all readers of a split are started for.

    Attributes
    ----------
    workload : Workload
    split : Split
    uri : str
        The folder that the data set is in.
    entropy : int
        What `random` orders are made of.
    on_error : {'stop', 'skip'}
    descriptor : int
        That of the memory of the batches.
    bell : int
        That of the event by which the step loop is woken.
    """

    workload: Workload
    split: Split
    uri: str
    entropy: int
    on_error: OnError
    descriptor: int
    bell: int

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values; `from_document` is the inverse."""
        plain = {name: value for name, value in vars(self).items() if name != "workload"}
        resolved = Resolved(self.workload, "", {}, ())
        return plain | {"split": self.split.value, "workload": resolved.to_document()}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ReaderJob:
        """Return the job that `to_document` described."""
        workload = from_document(document["workload"], "the job of a reader").workload
        return cls(**document | {"workload": workload, "split": Split(document["split"])})


class ReaderProcess:
    """Reads its share of the files of each epoch that it is told of."""

    def __init__(self, link: Link, job: ReaderJob, reading: Reading) -> None:
        self._link = link
        self._reading = reading
        places = Places.of(job.workload, job.split)
        self._ring = SharedRing(places, job.descriptor, job.bell, link)
        self._orders = Orders(RunOrder(job.workload, job.entropy, job.split))

    def run(self, number: int, steps: int) -> None:
        """Read our share of epoch `number`, and say what was done."""
        ring, counters = self._ring, self._ring.begin()
        order, wanted = self._orders.of(number), steps * ring.batch_size
        stream = number, self._link.rank
        worker = Worker(self._reading, ring, wanted, counters, stream)
        per_task = files_per_task(self._reading.workload, ring, order.samples_per_file)
        # Nobody hands out what is to be read: each reader goes through the order by itself.
        reads = order.reads(wanted, Share(self._link.rank, self._link.size, per_task))
        while task := list(islice(reads, per_task)):
            worker.do(task)
        counters.cpu_s = time.process_time() - ring.begin_cpu_s
        self._link.send({"kind": "done", "counters": counters.to_json()})


def work(link: Link) -> NoReturn:
    """Read what we are told to."""
    job = ReaderJob.from_document(link.job)
    workload = job.workload
    with open_store(StoreLocation.parse(job.uri)) as store:
        reading = Reading(
            workload,
            DataFiles(workload, job.split),
            Layers.of(workload, store).store,
            Preprocessing(workload),
            job.on_error,
        )
        process = ReaderProcess(link, job, reading)
        link.send({"kind": "ready"})
        while True:  # until the one who started us closes the connection
            message = link.receive()
            if message["kind"] == "epoch":  # else it came too late for who waited for it
                process.run(message["number"], message["steps"])


def main() -> int:
    """Be the reader of the connection that the command line names."""
    return serve_as(Link, int(sys.argv[1].removeprefix("--connection=")), work)


if __name__ == "__main__":
    code = main()
    if code:  # who ends a run does not wait for a read that hangs
        sys.stderr.flush()
        os._exit(code)
